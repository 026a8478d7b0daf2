"""Vectara, which is no store of vectors: why, and what to do instead."""

from __future__ import annotations

from typing import NoReturn

from gnomon.core.errors import InvalidInput
from gnomon.stores.address import StoreAddress


def open_vectara(address: StoreAddress, name: str) -> NoReturn:
    """Raises InvalidInput: Vectara's API takes texts, and gives neither vectors nor a place for those of a model.

    A document's part has text, metadata and `custom_dimensions` of a few numbers that are added to scores; the corpus'
    encoder, one of Vectara's, makes the vectors, and no answer returns one. So nothing there could be checked against a
    space, its canaries or the exact search.
    """
    raise InvalidInput(
        f"the store {address.text!r} for {name!r}: Vectara makes vectors by its own encoders, and takes none",
        expected="an engine that keeps the vectors of the collection's model",
        hint="take another one, such as --store qdrant://localhost:6333 or --store pgvector",
    )
