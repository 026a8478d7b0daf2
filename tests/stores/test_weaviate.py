"""Stores in Weaviate, by its client against a server that keeps its documented API over REST and gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("weaviate")

from gnomon.core.conditions import Comparison, Constant, Field
from gnomon.core.errors import InvalidInput, ServerUnreachable, StorageError
from gnomon.stores.address import StoreAddress, open_store
from gnomon.testing import check_store
from gnomon.testing.store import store_items, store_space
from support.weaviate_server import WeaviateServer, weaviate_server


@pytest.fixture
def server() -> Iterator[WeaviateServer]:
    with weaviate_server() as running:
        yield running


def opened(server: WeaviateServer, name: str) -> Any:
    address = f"weaviate://127.0.0.1:{server.server_port}?grpc_port={server.grpc_port}"
    return open_store(StoreAddress.parse(address), name)


@pytest.mark.slow
def test_it_keeps_the_contract(server: WeaviateServer) -> None:
    check_store(lambda name: opened(server, name))
    assert not server.collections
    assert not server.aliases


def test_filters_names_and_refusals(server: WeaviateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    space = store_space("cosine")
    store = opened(server, "Notizen über-alles_v1")
    store.create(space, {"year": "number"})
    (stored,) = server.collections.values()
    items = store_items(space, np.arange(1, 9))
    store.upsert(items)
    assert len(stored.objects) == 8
    # Its client has no filter that says what is not: the catalog's ids come instead.
    equal = Comparison(Field("year"), "=", (Constant("number", 3),))
    assert store.can_filter(equal)
    assert not store.can_filter(Comparison(Field("year"), "=", (Constant("number", 3),), negated=True))
    server.refuse = [503]
    assert store.count() == 8  # asked again
    server.full = True
    with pytest.raises(StorageError, match="read-only"):
        store.upsert(items)
    with pytest.raises(InvalidInput, match="65,535 dimensions"):
        opened(server, "x").create(store_space("cosine", dim=65_536), {})
    server.key = "secret"
    with pytest.raises(InvalidInput, match=r"WEAVIATE_API_KEY|401") as raised:
        opened(server, "Notizen über-alles_v1").position()
    assert "secret" not in str(raised.value)
    monkeypatch.setenv("WEAVIATE_API_KEY", "secret")
    assert opened(server, "Notizen über-alles_v1").count() == 8


@pytest.mark.slow
def test_no_server_at_all() -> None:
    with pytest.raises(ServerUnreachable, match="Weaviate"):
        open_store(StoreAddress.parse("weaviate://127.0.0.1:9"), "kb_v1").position()
    with pytest.raises(InvalidInput, match="weaviate"):
        open_store(StoreAddress.parse("weaviate:"), "kb_v1")
