"""The catalog's numbered migrations."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, inspect

from gnomon.collection.catalog.fields import infer_stored
from gnomon.collection.catalog.schema import (
    chunks,
    documents,
    fields,
    interleaved_searches,
    interleavings,
    journal,
    metadata,
    spending,
    switches,
    tables,
    tokenizers,
    vector_checksum,
    versions,
)


def _create(connection: Connection) -> None:
    metadata.create_all(connection)


def _add_tables(connection: Connection) -> None:
    tables.create(connection, checkfirst=True)


def _several_versions(connection: Connection) -> None:
    """Columns, indexes and tables for more than one version."""
    if "upto" not in {column["name"] for column in inspect(connection).get_columns("versions")}:
        connection.exec_driver_sql("ALTER TABLE versions ADD COLUMN upto INTEGER NOT NULL DEFAULT 0")
    metadata.create_all(connection, tables=[tokenizers, switches])
    for table, name in ((versions, "versions_one_live"), (journal, "journal_by_chunking")):
        (index,) = (each for each in table.indexes if each.name == name)
        index.create(connection, checkfirst=True)


def _vector_checksums(connection: Connection) -> None:
    """A checksum for each vector, of what is there now: from here on no change goes unseen."""
    if "checksum" in {column["name"] for column in inspect(connection).get_columns("vectors")}:
        return
    connection.exec_driver_sql("ALTER TABLE vectors ADD COLUMN checksum INTEGER")
    plain = connection.connection.driver_connection
    if plain is not None:
        plain.create_function("vector_checksum", 4, vector_checksum, deterministic=True)
        plain.execute("UPDATE vectors SET checksum = vector_checksum(space_id, role, text_hash, data)")


def _add_ctime(connection: Connection) -> None:
    """When a file or what is known of it last changed, which no program can set."""
    if "ctime_ns" not in {column["name"] for column in inspect(connection).get_columns("sources")}:
        connection.exec_driver_sql("ALTER TABLE sources ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0")


def _add_fields(connection: Connection) -> None:
    """The types of the fields that documents have."""
    fields.create(connection, checkfirst=True)
    infer_stored(connection)


def _add_locations(connection: Connection) -> None:
    """Where documents and chunks stand in their files; unknown for what is there, until its file is read again."""
    for of, name in ((documents, "locations"), (chunks, "location")):
        if name not in {column["name"] for column in inspect(connection).get_columns(of.name)}:
            connection.exec_driver_sql(f"ALTER TABLE {of.name} ADD COLUMN {name} TEXT NOT NULL DEFAULT ''")


def _add_spending(connection: Connection) -> None:
    """What servers of models were sent and charged."""
    spending.create(connection, checkfirst=True)


def _add_tolerances(connection: Connection) -> None:
    """How far a canary's vector may be off, and when that was last looked at: for models of servers."""
    for name, kind in (("tolerance", "FLOAT"), ("checked", "VARCHAR")):
        if name not in {column["name"] for column in inspect(connection).get_columns("spaces")}:
            connection.exec_driver_sql(f"ALTER TABLE spaces ADD COLUMN {name} {kind}")


def _short_forms(connection: Connection) -> None:
    """Vectors in half precision beside those that are whole: each row says by its length which it is.

    No row is changed; an older gnomon, which would take such rows for damaged ones, must not open them.
    """
    if connection.dialect.name == "postgresql":  # which would try to compress each, in vain
        connection.exec_driver_sql("ALTER TABLE vectors ALTER COLUMN data SET STORAGE EXTERNAL")


def _add_interleavings(connection: Connection) -> None:
    """Versions that are compared by clicks on their interleaved results."""
    for table in (interleavings, interleaved_searches):
        table.create(connection, checkfirst=True)


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (
    _create,
    _add_tables,
    _several_versions,
    _vector_checksums,
    _add_ctime,
    _add_fields,
    _add_locations,
    _add_spending,
    _add_tolerances,
    _short_forms,
    _add_interleavings,
)
"""Migration n brings a catalog from schema n to n + 1. Never edited once released; only added to.

The first one makes all tables of today, so that in a new catalog the later ones find theirs made.
"""
