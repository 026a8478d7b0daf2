"""The FAISS store: the contract, and what only this one has."""

from __future__ import annotations

import pathlib

import pytest

from gnomon.core.errors import InvalidInput
from gnomon.stores import StoreAddress, open_store
from gnomon.stores.faiss import FaissStore
from gnomon.testing import check_store


def test_it_keeps_the_contract(tmp_path: pathlib.Path) -> None:
    check_store(lambda name: FaissStore(tmp_path, name))
    assert list(tmp_path.iterdir()) == []


def test_the_address_is_a_folder(tmp_path: pathlib.Path) -> None:
    address = StoreAddress.parse(f"faiss://{tmp_path}")
    store = open_store(address, "kb_1")
    assert store.position() is None
    with pytest.raises(InvalidInput, match="faiss"):
        open_store(StoreAddress.parse("faiss"), "kb_1")
