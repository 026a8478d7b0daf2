"""The Qdrant store by the official client, against a loopback server that keeps its REST."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import models

from gnomon.core.errors import InvalidInput, ServerUnreachable, StorageError, StoreChanged
from gnomon.core.stores import Store
from gnomon.stores import StoreAddress, open_store
from gnomon.stores.requests import TRIES
from gnomon.testing import check_store
from gnomon.testing.store import store_items, store_space
from support.qdrant_server import QdrantServer

pytestmark = pytest.mark.slow
SPACE = store_space("cosine")


@pytest.fixture
def server() -> Iterator[QdrantServer]:
    made = QdrantServer()
    yield made
    made.close()


def opened(server: QdrantServer, name: str = "kb_v1") -> Store:
    return open_store(StoreAddress.parse(server.address), name)


def test_a_lost_answer_is_asked_for_again(server: QdrantServer) -> None:
    store = opened(server)
    store.create(SPACE, {})
    server.lost = 2
    store.upsert(store_items(SPACE, np.arange(10)))
    assert store.count() == 10
    assert sum(each == "PUT /collections/kb_v1/points" for each in server.requests) == 3


def test_a_busy_server_is_waited_for_a_bounded_number_of_times(
    server: QdrantServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gnomon.stores.requests.time.sleep", lambda _: None)
    store = opened(server)
    server.busy = 3
    assert store.position() is None
    server.busy = 1000
    with pytest.raises(ServerUnreachable, match="503"):
        store.position()
    assert len(server.requests) == 4 + TRIES


def test_what_a_full_server_says_is_shown(server: QdrantServer) -> None:
    store = opened(server)
    store.create(SPACE, {})
    server.full = True
    with pytest.raises(StorageError, match="No space left"):
        store.upsert(store_items(SPACE, np.arange(3)))


def test_a_key_is_wanted_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    server = QdrantServer(key="right-key", prefix="/vectors")
    try:
        monkeypatch.setenv("QDRANT_API_KEY", "wrong-key")
        with pytest.raises(ServerUnreachable, match="QDRANT_API_KEY") as caught:
            opened(server).create(SPACE, {})
        assert "wrong-key" not in str(caught.value)
        assert len(server.requests) == 0
        monkeypatch.setenv("QDRANT_API_KEY", "right-key")
        opened(server).create(SPACE, {})
        assert opened(server).count() == 0
    finally:
        server.close()


def test_nobody_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnomon.stores.requests.time.sleep", lambda _: None)
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9.*does not answer"):
        open_store(StoreAddress.parse("qdrant://127.0.0.1:9"), "kb_v1").position()


def test_a_collection_made_anew_by_someone_else_is_noticed(server: QdrantServer) -> None:
    store, other = opened(server), opened(server)
    store.create(SPACE, {})
    store.upsert(store_items(SPACE, np.arange(3)))
    other.drop()
    other.create(SPACE, {})
    with pytest.raises(StoreChanged, match="not the one that was made"):
        store.upsert(store_items(SPACE, np.arange(3)))


def test_a_collection_of_another_program_is_left_alone(server: QdrantServer) -> None:
    vectors = models.VectorParams(size=16, distance=models.Distance.COSINE)
    server.local.create_collection("kb_v1", vectors_config=vectors)
    with pytest.raises(StoreChanged, match="not made by gnomon"):
        opened(server).create(SPACE, {})


def test_words_are_ranked_by_bm25(server: QdrantServer) -> None:
    store = opened(server)
    store.create(SPACE, {})
    items = store_items(SPACE, np.arange(3))
    store.upsert(replace(items, titles=["", "Whales", ""], texts=["a whale", "they swim", "running water"]))
    found = store.search_words(["whales swim", "water", "nothing"], k=2)
    assert [ranking.ids.tolist() for ranking in found] == [[1], [2], []]


def test_the_address_is_a_server_or_a_folder() -> None:
    with pytest.raises(InvalidInput, match="qdrant"):
        open_store(StoreAddress.parse("qdrant"), "kb_v1")


def test_it_keeps_the_contract(server: QdrantServer) -> None:
    check_store(lambda name: opened(server, name), tolerance=1e-3, rows=100)
