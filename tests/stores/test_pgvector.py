"""The pgvector store on a real PostgreSQL: the contract, its graph, and what a server may refuse."""

from __future__ import annotations

import numpy as np
import pytest

import gnomon
from gnomon.core.errors import InvalidInput, ServerUnreachable
from gnomon.core.stores import Store, StorePosition
from gnomon.stores import StoreAddress, open_store, pgvector
from gnomon.testing import HashEncoder, check_store
from gnomon.testing.store import store_items, store_space
from support.postgres import PostgresServer

pytestmark = pytest.mark.slow


def address(server: PostgresServer, *, database: str = "gnomon", **options: str) -> StoreAddress:
    base, _, own = server.url("x", database=database).partition("?")
    more = "".join(f"&{name}={value}" for name, value in options.items())
    return StoreAddress.parse(f"{base.removesuffix('/x')}?{own}{more}")


def test_it_keeps_the_contract(postgres: PostgresServer) -> None:
    check_store(lambda name: open_store(address(postgres), name), tolerance=2e-3)


def test_a_graph_keeps_the_contract_too(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgvector, "_INDEXED_FROM", 1)
    check_store(lambda name: open_store(address(postgres, type="vector"), name), tolerance=1e-4, min_recall=0.95)


def test_a_graph_is_built_and_used(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pgvector, "_INDEXED_FROM", 1000)
    space = store_space("cosine")
    store = open_store(address(postgres), "graph")
    store.create(space, {})
    store.upsert(store_items(space, np.arange(2000)))
    store.stamp(StorePosition("c", 1, space.fingerprint, 1, 1))
    (index,) = postgres.execute("SELECT indexdef FROM pg_indexes WHERE indexname = 'graph_graph'")
    assert "hnsw" in index[0]
    assert "halfvec_ip_ops" in index[0]
    store.drop()


def test_what_a_server_refuses_is_said(postgres: PostgresServer) -> None:
    with pytest.raises(InvalidInput, match="4,000"):
        open_store(address(postgres), "long").create(store_space("cosine", dim=4001), {})
    with pytest.raises(InvalidInput, match="2,000"):
        open_store(address(postgres, type="vector"), "long").create(store_space("cosine", dim=2001), {})
    with pytest.raises(InvalidInput, match="ef_search"):
        open_store(address(postgres, ef_search="none"), "odd")
    with pytest.raises(ServerUnreachable, match="does not exist"):
        open_store(address(postgres, database="nosuch"), "gone").position()
    with pytest.raises(InvalidInput, match="folder"):
        open_store(StoreAddress.parse("pgvector"), "kb_1")
    postgres.execute("CREATE DATABASE bare")
    postgres.execute("CREATE ROLE guest LOGIN")
    postgres.execute("GRANT CREATE ON DATABASE bare TO guest")
    guest = StoreAddress.parse(address(postgres, database="bare").text.replace("gnomon@", "guest@"))
    with pytest.raises(InvalidInput, match="no extension vector"):
        open_store(guest, "kb_1").create(store_space("cosine"), {})


def test_a_lost_connection_is_made_anew(postgres: PostgresServer) -> None:
    store: Store = open_store(address(postgres), "lost")
    space = store_space("cosine")
    store.create(space, {})
    store.upsert(store_items(space, np.arange(20)))
    postgres.terminate_backends()
    assert store.count() == 20
    store.drop()


def test_a_collection_in_a_database_keeps_its_vectors_there(postgres: PostgresServer) -> None:
    with gnomon.open(postgres.url(), encoder=HashEncoder(32), store="pgvector:?ef_search=40") as kb:
        kb.add([{"id": f"d{n}", "text": f"tea kettle number {n}", "metadata": {"year": n}} for n in range(30)])
        found = [hit.document for hit in kb.search("tea number 7", mode="dense", where="year < 10", k=3)]
        assert found[0] == "d7"
        assert len(found) == 3
        (store, _) = kb.status().derived
        assert (store.kind, store.state, store.rows, store.recall) == ("pgvector", "current", 30, 1.0)
