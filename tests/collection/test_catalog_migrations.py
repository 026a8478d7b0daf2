"""Numbered migrations on SQLite and on PostgreSQL, and a catalog in PostgreSQL that an earlier schema made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection, inspect

import gnomon
from gnomon.collection.address import collection_address
from gnomon.collection.catalog import connection as catalogs
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.migrations import MIGRATIONS
from gnomon.core.errors import CollectionTooNew
from gnomon.testing.toys import HashEncoder
from support.postgres import PostgresServer
from support.postgres_dumps import DUMPS, restored

ON_BOTH = True


def add_colour(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE documents ADD COLUMN colour TEXT NOT NULL DEFAULT 'green'")


def test_the_next_migration_runs_once(new_place: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    place = new_place()
    with gnomon.open(place, encoder=HashEncoder(8)) as kb:
        kb.add({"id": "a", "text": "tea", "metadata": {"year": 2020}})
    monkeypatch.setattr(catalogs, "MIGRATIONS", (*MIGRATIONS, add_colour))
    for _ in range(2):
        catalog = Catalog(collection_address(place), create=False)
        with catalog.read() as connection:
            assert "colour" in {column["name"] for column in inspect(connection).get_columns("documents")}
            assert connection.exec_driver_sql("SELECT colour FROM documents").scalar_one() == "green"
            stored = connection.exec_driver_sql("SELECT value FROM meta WHERE key = 'schema'").scalar_one()
            assert int(stored) == len(MIGRATIONS) + 1
        catalog.close()
    monkeypatch.undo()
    with pytest.raises(CollectionTooNew):
        Catalog(collection_address(place), create=False)


@pytest.mark.slow
@pytest.mark.parametrize("dump", sorted(DUMPS.glob("*.sql.gz")), ids=lambda path: path.name)
def test_a_catalog_of_an_earlier_schema_is_opened(postgres: PostgresServer, dump: object) -> None:
    with gnomon.open(restored(postgres, dump), encoder=HashEncoder(64, max_tokens=48)) as kb:
        assert [hit.document for hit in kb.search("green tea", k=1, where="year = 2020")] == ["a"]
        assert kb.ids("'y' in tags and not year < 2000") == ["b"]
        kb.add({"id": "c", "text": "a third", "metadata": {"year": 1999}})
        assert kb.ids("year is not null") == ["a", "b", "c"]
