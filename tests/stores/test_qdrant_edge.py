"""The Qdrant Edge store: the contract, and what only this one has."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, ServerUnreachable, StorageError
from gnomon.stores import StoreAddress, open_store
from gnomon.stores.engine import EngineStore
from gnomon.stores.qdrant_edge import open_edge
from gnomon.testing import check_store
from gnomon.testing.store import store_items, store_space

pytestmark = pytest.mark.slow
SPACE = store_space("cosine")

FILL = """
import pathlib, sys
import numpy as np
from gnomon.stores.qdrant_edge import open_edge
from gnomon.testing.store import store_items, store_space
store = open_edge(pathlib.Path(sys.argv[1]), "kb_v1")
store.create(store_space("cosine"), {})
for start in range(0, 4000, 100):
    store.upsert(store_items(store_space("cosine"), np.arange(start, start + 100)))
    print(start + 100, flush=True)
"""


def filling(folder: pathlib.Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", FILL, str(folder)], stdout=subprocess.PIPE, text=True)


def test_it_keeps_the_contract(tmp_path: pathlib.Path) -> None:
    check_store(lambda name: open_edge(tmp_path, name), tolerance=1e-3)
    assert list(tmp_path.iterdir()) == []


def test_what_was_acknowledged_survives_a_kill(tmp_path: pathlib.Path) -> None:
    process = filling(tmp_path)
    assert process.stdout is not None
    acknowledged = 0
    while acknowledged < 500:
        acknowledged = int(process.stdout.readline())
    process.kill()
    process.wait()
    store = open_edge(tmp_path, "kb_v1")
    ids = store.ids()
    assert set(range(acknowledged)) <= set(ids.tolist())
    found = store.search(store_items(SPACE, ids[::50]).vectors, k=1)
    assert [int(each.ids[0]) for each in found] == ids[::50].tolist()
    store.close()


def test_a_folder_that_another_process_has_open_is_said(tmp_path: pathlib.Path) -> None:
    process = filling(tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        store = open_edge(tmp_path, "kb_v1")
        assert store.position() is None  # the label can be read
        with pytest.raises(ServerUnreachable, match="another process"):
            store.count()
    finally:
        process.kill()
        process.wait()
    assert store.count() >= 100
    store.close()


def test_objects_of_one_process_share_what_is_open(tmp_path: pathlib.Path) -> None:
    store, other = open_edge(tmp_path, "kb_v1"), open_edge(tmp_path, "kb_v1")
    store.create(SPACE, {})
    store.upsert(store_items(SPACE, np.arange(5)))
    assert other.count() == 5
    store.close()
    other.delete(np.array([1]))
    assert other.count() == 4
    other.close()
    assert open_edge(tmp_path, "kb_v1").count() == 4


def test_words_are_ranked_by_bm25(tmp_path: pathlib.Path) -> None:
    store, items = open_edge(tmp_path, "kb_v1"), store_items(SPACE, np.arange(3))
    store.create(SPACE, {})
    store.upsert(replace(items, titles=["", "Whales", ""], texts=["a whale", "they swim", "running water"]))
    found = store.search_words(["whales swim", "water", "nothing"], k=2)
    assert [ranking.ids.tolist() for ranking in found] == [[1], [2], []]
    store.close()


def test_a_place_that_cannot_be_written_is_said(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        open_edge(tmp_path / "file", "kb_v1").create(SPACE, {})


def test_an_alias_is_no_collection(tmp_path: pathlib.Path) -> None:
    store = open_store(StoreAddress.parse(f"qdrant://{tmp_path}"), "kb_v1")
    assert isinstance(store, EngineStore)
    store.create(SPACE, {})
    with pytest.raises(InvalidInput, match="no collection"):
        store.set_alias("kb_v1")
    store.close()
