"""The Milvus store: the contract in Milvus Lite, and what only this one has."""

from __future__ import annotations

import pathlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.conditions import Comparison, Constant, Field
from gnomon.core.errors import InvalidInput, ServerUnreachable
from gnomon.core.stores import Store
from gnomon.stores import StoreAddress, open_store
from gnomon.testing import check_store
from gnomon.testing.store import store_items, store_space

SPACE = store_space("cosine")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> Iterator[Store]:
    made = open_store(StoreAddress.parse(f"milvus://{tmp_path}/m.db"), "kb_v1")
    yield made
    made.close()


@pytest.mark.slow
def test_it_keeps_the_contract(tmp_path: pathlib.Path) -> None:
    address = StoreAddress.parse(f"milvus://{tmp_path}/m.db")
    check_store(lambda name: open_store(address, name), rows=120)


@pytest.mark.slow
def test_texts_beyond_its_limit_are_found_by_their_beginning(store: Store) -> None:
    store.create(SPACE, {})
    items = store_items(SPACE, np.arange(3))
    store.upsert(replace(items, texts=["a whale " + "ä" * 70_000, "they swim", "running water"], titles=["", "", ""]))
    assert [found.ids.tolist() for found in store.search_words(["whale", "water"], k=2)] == [[0], [2]]


@pytest.mark.slow
def test_what_a_chunk_no_longer_has_is_not_found(store: Store) -> None:
    store.create(SPACE, {"year": "number"})
    items = store_items(SPACE, np.arange(2))
    store.upsert(replace(items, fields=[{"year": 2020}, {"year": 2020}]))
    store.upsert(replace(items, fields=[{}, {"year": 2021}]))
    condition = Comparison(Field("year"), "<", (Constant("number", 2021),))
    assert [len(found) for found in store.search(items.vectors, k=2, where=condition)] == [0, 0]


@pytest.mark.slow
def test_more_terms_than_it_takes_are_refused(store: Store) -> None:
    store.create(SPACE, {})
    items = store_items(SPACE, np.arange(1))
    with pytest.raises(InvalidInput, match="at most 4,096"):
        store.upsert(replace(items, fields=[{"tags": [str(n) for n in range(5000)]}]))


@pytest.mark.slow
def test_a_file_that_another_process_has_open_is_said(store: Store, tmp_path: pathlib.Path) -> None:
    store.create(SPACE, {})
    script = (
        "from gnomon.stores import StoreAddress, open_store\n"
        "from gnomon.core.errors import ServerUnreachable\n"
        "try: open_store(StoreAddress.parse(f'milvus://{path}/m.db'), 'kb_v1').position()\n"
        "except ServerUnreachable as error: print(error)\n"
    )
    code = f"path = {str(tmp_path)!r}\n{script}"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert "another process" in ran.stdout, ran.stderr


@pytest.mark.slow
def test_what_another_process_filled_is_found(store: Store, tmp_path: pathlib.Path) -> None:
    script = (
        "import numpy as np\n"
        "from gnomon.stores import StoreAddress, open_store\n"
        "from gnomon.testing.store import store_items, store_space\n"
        f"store = open_store(StoreAddress.parse('milvus://{tmp_path}/m.db'), 'kb_v1')\n"
        "space = store_space('cosine')\n"
        "store.create(space, {})\n"
        "store.upsert(store_items(space, np.arange(3)))\n"
        "store.close()\n"
    )
    subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=120, check=True)
    assert store.position() is None
    ids, vectors = store.vectors_of(np.arange(3))
    assert sorted(ids.tolist()) == [0, 1, 2]
    assert [len(found) for found in store.search(vectors, k=2)] == [2, 2, 2]


@pytest.mark.slow
def test_nobody_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnomon.stores.milvus._CONNECT_S", 0.5)
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9.*does not answer"):
        open_store(StoreAddress.parse("milvus://127.0.0.1:9"), "kb_v1").position()


def test_the_address_is_a_server_or_a_file() -> None:
    with pytest.raises(InvalidInput, match=r"ends in \.db"):
        open_store(StoreAddress.parse("milvus:///data"), "kb_v1")
