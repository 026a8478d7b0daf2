"""The LanceDB store: the contract, and what only this one has."""

from __future__ import annotations

import pathlib
import shutil
from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.conditions import Comparison, Constant, Field
from gnomon.core.errors import InvalidInput, StorageError, StoreChanged
from gnomon.core.stores import Store, StorePosition
from gnomon.stores import StoreAddress, open_store
from gnomon.testing import check_store
from gnomon.testing.store import store_items, store_space

pytestmark = pytest.mark.slow
SPACE = store_space("cosine")


def opened(folder: pathlib.Path) -> Store:
    return open_store(StoreAddress.parse(f"lancedb://{folder}"), "kb_v1")


def test_it_keeps_the_contract(tmp_path: pathlib.Path) -> None:
    address = StoreAddress.parse(f"lancedb://{tmp_path}")
    check_store(lambda name: open_store(address, name), tolerance=1e-3, rows=120)


def test_nothing_is_made_before_it_is_created(tmp_path: pathlib.Path) -> None:
    store = opened(tmp_path / "lance")
    assert store.position() is None
    store.drop()
    assert not (tmp_path / "lance").exists()


def test_an_index_is_built_at_a_size_and_follows(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnomon.stores.lancedb._INDEXED_FROM", 1000)
    monkeypatch.setattr("gnomon.stores.lancedb._PARTITION_ROWS", 256)
    store, items = opened(tmp_path), store_items(SPACE, np.arange(1200))
    store.create(SPACE, {"year": "number"})
    store.upsert(items)
    before = store.search(items.vectors[:50], k=1)
    store.stamp(StorePosition("c", 1, SPACE.fingerprint, seq=1, nonce=1))
    assert {each.columns[0] for each in store._engine._table("kb_v1").list_indices()} == {
        "vector",
        "id",
        "terms",
        "text",
    }
    after = store.search(items.vectors[:50], k=1)
    assert [each.ids.tolist() for each in after] == [each.ids.tolist() for each in before]
    store.upsert(store_items(SPACE, np.arange(1200, 1210)))
    store.delete(np.arange(10))
    (found,) = store.search(store_items(SPACE, np.array([1205])).vectors, k=1)
    assert found.ids.tolist() == [1205]
    (gone,) = store.search(items.vectors[[5]], k=3)
    assert 5 not in gone.ids


def test_fields_that_come_later_are_filtered_by(tmp_path: pathlib.Path) -> None:
    store, items = opened(tmp_path), store_items(SPACE, np.arange(2))
    store.create(SPACE, {})
    condition = Comparison(Field('size of it\'s "x"'), ">", (Constant("number", 3),))
    store.upsert(replace(items, fields=[{}, {}]))
    assert [len(each) for each in store.search(items.vectors, k=2, where=condition)] == [0, 0]
    store.upsert(replace(items, fields=[{condition.field.name: 4}, {condition.field.name: "9"}]))
    assert [each.ids.tolist() for each in store.search(items.vectors, k=2, where=condition)] == [[0], [0]]


def test_another_object_sees_what_one_writes(tmp_path: pathlib.Path) -> None:
    store, other = opened(tmp_path), opened(tmp_path)
    store.create(SPACE, {})
    assert other.count() == 0
    store.upsert(store_items(SPACE, np.arange(7)))
    assert other.count() == 7


def test_words_are_ranked_by_bm25(tmp_path: pathlib.Path) -> None:
    store, items = opened(tmp_path), store_items(SPACE, np.arange(3))
    store.create(SPACE, {})
    store.upsert(replace(items, titles=["", "Whales", ""], texts=["a whale", "they swim", "running water"]))
    found = store.search_words(["whales swim", "water", "nothing"], k=2)
    assert [ranking.ids.tolist() for ranking in found] == [[1], [2], []]


def test_a_folder_that_someone_deleted_is_said(tmp_path: pathlib.Path) -> None:
    store, items = opened(tmp_path / "lance"), store_items(SPACE, np.arange(3))
    store.create(SPACE, {})
    store.upsert(items)
    shutil.rmtree(tmp_path / "lance")
    with pytest.raises(StoreChanged):
        store.search(items.vectors, k=1)
    with pytest.raises(StoreChanged):
        store.upsert(items)


def test_a_place_that_cannot_be_written_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        opened(tmp_path / "file" / "lance").create(SPACE, {})


def test_an_address_is_a_folder_or_an_object_store() -> None:
    for address in ("lancedb", "lancedb://host/x", "lancedb:///"):
        with pytest.raises(InvalidInput, match="lancedb"):
            open_store(StoreAddress.parse(address), "kb_v1")


def test_a_file_that_was_cut_short_is_said(tmp_path: pathlib.Path) -> None:
    store, items = opened(tmp_path), store_items(SPACE, np.arange(300))
    store.create(SPACE, {})
    store.upsert(items)
    store.close()
    for file in (tmp_path / "kb_v1.lance" / "data").iterdir():
        file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(StoreChanged, match="LanceDB cannot read or write the collection 'kb_v1'"):
        opened(tmp_path).vectors_of(np.arange(3))
