"""Stores in Pinecone, by its client against a server that keeps its documented API."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, ServerUnreachable
from gnomon.core.stores import StorePosition
from gnomon.stores.address import StoreAddress, open_store
from gnomon.testing import check_store
from gnomon.testing.store import store_items, store_space
from support.pinecone_server import KEY, PineconeServer, pinecone_server

pytest.importorskip("pinecone")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PineconeServer]:
    monkeypatch.setenv("PINECONE_API_KEY", KEY)
    with pinecone_server() as running:
        yield running


def opened(server: PineconeServer, name: str):
    return open_store(StoreAddress.parse(f"pinecone://127.0.0.1:{server.server_port}?region=eu-west-1"), name)


@pytest.mark.slow
def test_it_keeps_the_contract(server: PineconeServer) -> None:
    check_store(lambda name: opened(server, name))
    assert not server.indexes


def test_a_write_returns_when_searches_show_it(server: PineconeServer) -> None:
    space = store_space("cosine")
    store = opened(server, "kb_v1")
    store.create(space, {})
    items = store_items(space, np.arange(1, 30))
    store.upsert(items)
    assert store.search(items.vectors[3], k=1)[0].ids.tolist() == [4]
    store.delete(np.array([4]))
    assert store.search(items.vectors[3], k=1)[0].ids.tolist() != [4]
    assert store.count() == 28
    store.stamp(StorePosition("c" * 32, 1, space.fingerprint, 2**50, 2**61, 3, 0.987654321))
    again = opened(server, "kb_v1").position()
    assert again == StorePosition("c" * 32, 1, space.fingerprint, 2**50, 2**61, 3, 0.987654321)
    model = server.indexes["kb-v1"].model
    assert model["deployment"]["region"] == "eu-west-1"


def test_keys_limits_and_refusals(server: PineconeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    space = store_space("cosine")
    store = opened(server, "KB über_v1")
    store.create(space, {})
    (name,) = server.indexes
    assert name.isascii()
    items = store_items(space, np.arange(1, 3))
    server.refuse = [429]
    store.upsert(items)  # sent again
    long = [{"note": [f"{n} " * 20 for n in range(1000)]}] * 2
    with pytest.raises(InvalidInput, match="bytes of metadata"):
        store.upsert(type(items)(items.ids, items.vectors, items.titles, items.texts, long, items.own))
    with pytest.raises(InvalidInput, match="20,000 dimensions"):
        opened(server, "x").create(store_space("cosine", dim=20_001), {})
    monkeypatch.setenv("PINECONE_API_KEY", "wrong")
    with pytest.raises(InvalidInput, match="Invalid API Key"):
        opened(server, "KB über_v1").position()
    monkeypatch.delenv("PINECONE_API_KEY")
    with pytest.raises(InvalidInput, match="without a key"):
        opened(server, "kb")


@pytest.mark.slow
def test_a_server_that_is_gone(server: PineconeServer) -> None:
    store = opened(server, "kb_v1")
    server.refuse = [503] * 100
    with pytest.raises(ServerUnreachable):
        store.position()
