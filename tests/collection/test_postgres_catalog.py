"""A catalog in a real PostgreSQL: transactions, locks, connections that break, and errors that say what to do."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, insert, select, text

from gnomon.collection.address import collection_address
from gnomon.collection.catalog import schema
from gnomon.collection.catalog.connection import Catalog, is_catalog
from gnomon.core.errors import (
    CollectionBusy,
    CollectionNotFound,
    CollectionTooNew,
    GnomonError,
    InvalidInput,
    ServerUnreachable,
    StorageError,
)
from support.postgres import PASSWORD, PostgresServer

pytestmark = pytest.mark.slow


def catalog_at(url: str, *, create: bool = True, busy_s: float = 60.0) -> Catalog:
    return Catalog(collection_address(url), create=create, busy_s=busy_s)


def keep(catalog: Catalog, key: str) -> None:
    with catalog.write() as connection:
        connection.execute(insert(schema.meta).values(key=key, value="1"))


def kept(catalog: Catalog) -> set[str]:
    with catalog.read() as connection:
        return set(connection.execute(select(schema.meta.c.key)).scalars()) - {"schema", "collection_id"}


def test_it_is_made_once_and_found_again(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.url(tcp=True)
    assert not is_catalog(collection_address(url))
    with pytest.raises(CollectionNotFound, match="no collection at"):
        catalog_at(url, create=False)
    first, second = catalog_at(url), catalog_at(url)
    assert first.collection_id == second.collection_id
    assert first.folder == tmp_path / "home/collections" / first.collection_id
    assert first.backend.size() > 0
    assert PASSWORD not in first.address
    assert is_catalog(collection_address(url))


def test_a_reader_sees_one_moment_and_writers_queue(postgres: PostgresServer) -> None:
    url = postgres.url()
    catalog, impatient = catalog_at(url), catalog_at(url, busy_s=0.2)
    with catalog.read() as connection:
        before = connection.execute(select(func.count()).select_from(schema.meta)).scalar_one()
        keep(impatient, "while it is read")
        assert connection.execute(select(func.count()).select_from(schema.meta)).scalar_one() == before
    with catalog.write(), pytest.raises(CollectionBusy, match="locked by another writer"):
        keep(impatient, "while another writes")
    assert kept(catalog) == {"while it is read"}


def test_a_writer_that_waited_sees_what_the_other_committed(postgres: PostgresServer) -> None:
    url = postgres.url()
    catalog, seen = catalog_at(url), list[int]()

    def second() -> None:
        with catalog_at(url).write() as connection:
            seen.append(connection.execute(select(func.count()).select_from(schema.meta)).scalar_one())

    waiting = threading.Thread(target=second)
    with catalog.write() as connection:
        waiting.start()
        waiting.join(0.5)
        connection.execute(insert(schema.meta).values(key="first", value="1"))
    waiting.join(20)
    assert seen == [3]


def test_broken_connections_are_replaced_where_a_transaction_begins(postgres: PostgresServer) -> None:
    catalog = catalog_at(postgres.url())
    keep(catalog, "before")
    assert postgres.terminate_backends() >= 1
    assert kept(catalog) == {"before"}
    postgres.terminate_backends()
    keep(catalog, "after")
    assert kept(catalog) == {"before", "after"}


def test_a_connection_that_breaks_within_a_write_leaves_nothing_of_it(postgres: PostgresServer) -> None:
    catalog = catalog_at(postgres.url())

    def write() -> None:
        with catalog.write() as connection:
            connection.execute(insert(schema.meta).values(key="lost", value="1"))
            postgres.terminate_backends()
            connection.execute(insert(schema.meta).values(key="too", value="1"))

    with pytest.raises(ServerUnreachable):
        write()
    assert kept(catalog) == set()


def test_work_is_done_again_after_a_broken_connection_or_a_deadlock(postgres: PostgresServer) -> None:
    catalog, tries = catalog_at(postgres.url()), list[int]()

    def work(connection: Connection) -> str:
        tries.append(len(tries))
        connection.execute(insert(schema.meta).values(key="once", value="1"))
        if len(tries) == 1:
            postgres.terminate_backends()
        if len(tries) == 2:
            connection.execute(text("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))
        connection.execute(select(schema.meta.c.key))
        return "done"

    assert catalog.transact(work) == "done"
    assert tries == [0, 1, 2]
    assert kept(catalog) == {"once"}


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_without_an_answer_is_looked_up(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    catalog, plain = catalog_at(postgres.url()), Connection.commit

    def lost(connection: Connection) -> None:
        monkeypatch.undo()
        if is_committed:
            connection.connection.driver_connection.execute("COMMIT")
        postgres.terminate_backends()
        connection.execute(text("SELECT 1"))
        plain(connection)

    monkeypatch.setattr(Connection, "commit", lost)
    if is_committed:
        keep(catalog, "asked for")
    else:
        with pytest.raises(ServerUnreachable):
            keep(catalog, "asked for")
    assert kept(catalog) == ({"asked for"} if is_committed else set())


def test_a_server_that_restarts_is_waited_for(postgres: PostgresServer) -> None:
    catalog = catalog_at(postgres.url())
    keep(catalog, "before")
    postgres.stop("immediate")
    again = threading.Timer(0.5, postgres.start)
    again.start()
    keep(catalog, "after")
    again.join()
    assert kept(catalog) == {"before", "after"}


def test_an_exclusive_lock_is_one_for_all_machines(postgres: PostgresServer) -> None:
    url = postgres.url()
    here, there, waited = catalog_at(url), catalog_at(url), list[str]()
    with here.exclusive("index", wait_s=1, owner="index run"):
        again = there.exclusive("index", wait_s=0.1, owner="index run", waiting=lambda: waited.append("waits"))
        with pytest.raises(CollectionBusy, match="another index run has held"), again:
            pytest.fail("two have it")
        with there.exclusive("other", wait_s=0, owner="run"):
            pass
    assert waited == ["waits"]
    with there.exclusive("index", wait_s=0.1, owner="index run"):
        pass


def test_a_lock_that_was_lost_is_taken_again_or_the_writer_stops(postgres: PostgresServer) -> None:
    url = postgres.url()
    here, there = catalog_at(url), catalog_at(url)
    with here.exclusive("index", wait_s=1, owner="index run"):
        postgres.terminate_backends()
        keep(here, "first")  # nobody else had it
        with pytest.raises(CollectionBusy), there.exclusive("index", wait_s=0.1, owner="index run"):
            pass
        postgres.terminate_backends()
        with there.exclusive("index", wait_s=1, owner="index run"):
            with pytest.raises(CollectionBusy, match=r"another index run of .* began"):
                keep(here, "second")
            keep(there, "third")
    assert kept(here) == {"first", "third"}


def test_a_newer_gnomons_catalog(postgres: PostgresServer) -> None:
    url = postgres.url()
    with catalog_at(url).write() as connection:
        connection.execute(schema.meta.update().where(schema.meta.c.key == "schema").values(value="99"))
    with pytest.raises(CollectionTooNew, match="schema 99"):
        catalog_at(url, create=False)


def test_who_may_not_write(postgres: PostgresServer) -> None:
    url = postgres.url()
    keep(catalog_at(url), "there")
    name = collection_address(url).collection
    postgres.execute(f"""DO $$ BEGIN CREATE ROLE {name}_reader LOGIN; END $$""")
    reader = url.replace("gnomon@", f"{name}_reader@")
    with pytest.raises(StorageError, match="permission denied"):
        catalog_at(reader)
    postgres.execute(f'GRANT USAGE ON SCHEMA "{name}" TO {name}_reader')
    postgres.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{name}" TO {name}_reader')
    catalog = catalog_at(reader)
    assert catalog.is_read_only
    assert kept(catalog) == {"there"}
    with pytest.raises(StorageError, match="may only read"):
        keep(catalog, "not")
    elsewhere = reader.replace(f"/{name}?", f"/{name}_new?")
    with pytest.raises(StorageError, match="permission denied for database"):
        catalog_at(elsewhere)
    assert not is_catalog(collection_address(elsewhere))


def test_a_schema_of_another_program_is_left_alone(postgres: PostgresServer) -> None:
    url = postgres.url()
    name = collection_address(url).collection
    postgres.execute(f'CREATE SCHEMA "{name}"')
    postgres.execute(f'CREATE TABLE "{name}".documents (a int)')
    with pytest.raises(InvalidInput, match="documents of another program"):
        catalog_at(url)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"database": "nowhere"}, CollectionNotFound, 'database "nowhere" does not exist'),
        ({"port": "1"}, ServerUnreachable, "cannot be reached"),
        ({"host": "/run/gone"}, ServerUnreachable, "cannot be reached"),
        ({"nonsense": "1"}, InvalidInput, "nonsense"),
        ({"port": "many"}, InvalidInput, "many"),
    ],
)
def test_an_address_that_leads_nowhere(
    postgres: PostgresServer, change: dict[str, str], kind: type[GnomonError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        catalog_at(postgres.url(**change))
    assert caught.value.hint


def test_a_wrong_password_is_not_shown(postgres: PostgresServer) -> None:
    with pytest.raises(ServerUnreachable, match="password authentication failed") as caught:
        catalog_at(postgres.url(tcp=True).replace("cr", "wrong"))
    assert "PGPASSWORD" in caught.value.hint
    assert "wrong" not in str(caught.value)


def test_a_database_of_another_encoding(postgres: PostgresServer) -> None:
    if not postgres.execute("SELECT 1 FROM pg_database WHERE datname = 'latin'"):
        postgres.execute("CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(InvalidInput, match="LATIN1"):
        catalog_at(postgres.url(database="latin"))
