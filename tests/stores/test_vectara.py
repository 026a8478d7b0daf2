"""Vectara takes no vectors: the store says so, and the client's own types show that it is so."""

from __future__ import annotations

import pytest

from gnomon.core.errors import InvalidInput
from gnomon.stores.address import StoreAddress, open_store


def test_the_store_says_why_not() -> None:
    with pytest.raises(InvalidInput, match="takes none") as raised:
        open_store(StoreAddress.parse("vectara://corpus"), "kb_v1")
    assert "qdrant" in raised.value.hint


def test_its_client_has_no_place_for_a_vector() -> None:
    types = pytest.importorskip("vectara.types")
    assert set(types.CoreDocumentPart.model_fields) == {"text", "metadata", "context", "custom_dimensions"}
    encoders = pytest.importorskip("vectara.encoders.client").EncodersClient
    assert {name for name in vars(encoders) if not name.startswith("_")} == {"list"}
