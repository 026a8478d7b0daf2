"""Connections to a collection's PostgreSQL database, and what the server and the user's rights allow."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from gnomon.collection.address import PostgresAddress
from gnomon.collection.catalog.postgres_errors import translated
from gnomon.core.errors import CollectionNotFound, InvalidInput

_OLDEST = 14
"""The first release of PostgreSQL that works."""
_DEFAULTS = {"connect_timeout": 10, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
_SESSION = sql.SQL(
    "SET search_path = {schema}; SET client_encoding = 'UTF8'; SET tcp_keepalives_idle = 30;"
    "SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"  # a dead machine's locks are given back
)
_RIGHTS = """SELECT n.oid IS NOT NULL, to_regclass(%(meta)s) IS NOT NULL,
    n.oid IS NULL OR has_schema_privilege(n.oid, 'USAGE'),
    CASE WHEN to_regclass(%(documents)s) IS NULL THEN true
        ELSE has_table_privilege(to_regclass(%(documents)s), 'INSERT') END
    FROM (SELECT) one LEFT JOIN pg_namespace n ON n.nspname = %(schema)s"""
_INDEXES = """SELECT c.oid::int8, c.relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
    WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'i' AND a.amname = 'btree'"""


def libpq_options(place: PostgresAddress) -> dict[str, Any]:
    """What libpq is given. Raises InvalidInput for an address that it does not understand."""
    try:
        given: dict[str, Any] = dict(conninfo_to_dict(place.secret_url))
    except psycopg.Error as error:
        said = str(error) if place.password is None else str(error).replace(place.password, "…")
        raise InvalidInput(
            f"the address {place}: {' '.join(said.split())}",
            expected="postgresql://[user@]host[:port]/database/collection",
            hint="percent-encode what is special in its parts, such as %40 for @",
        ) from None
    return {**_DEFAULTS, "application_name": "gnomon", **given}


def connect(options: dict[str, Any], place: PostgresAddress) -> psycopg.Connection[Any]:
    """A new connection, in autocommit, whose names are those of the collection's schema."""
    session = psycopg.connect(autocommit=True, **options)
    try:
        session.execute(_SESSION.format(schema=sql.Identifier(place.collection)))
    except BaseException:
        session.close()
        raise
    return session


@contextmanager
def connected(options: dict[str, Any], place: PostgresAddress) -> Iterator[psycopg.Connection[Any]]:
    """A connection for as long as the block lasts."""
    session = connect(options, place)
    try:
        yield session
    finally:
        session.close()


def rights(session: psycopg.Connection[Any], place: PostgresAddress) -> tuple[bool, bool, bool, bool]:
    """Whether the schema and its tables are there, and whether the user may look into it and write."""
    schema = quoted(place.collection)
    names = {"meta": f"{schema}.meta", "documents": f"{schema}.documents", "schema": place.collection}
    try:
        row = session.execute(_RIGHTS, names).fetchone()
    except psycopg.errors.InsufficientPrivilege:  # to_regclass looks into the schema
        return True, False, False, False
    return row if row is not None else (False, False, True, True)


def tables_of(session: Any, place: PostgresAddress) -> list[str]:
    """The collection's tables, as they are named in a statement."""
    named = "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY oid"
    return [quoted(name) for (name,) in session.execute(named, (quoted(place.collection),)).fetchall()]


def index_faults(options: dict[str, Any], place: PostgresAddress) -> list[str]:
    """What amcheck finds wrong in the indexes; nothing where it cannot be called."""
    found = []
    with translated(place), connected(options, place) as session:
        for oid, name in session.execute(_INDEXES, (quoted(place.collection),)).fetchall():
            try:
                session.execute(
                    sql.SQL("SELECT {}.bt_index_check(%s::regclass, true)").format(_amcheck(session)), (oid,)
                )
            except (psycopg.errors.UndefinedFunction, psycopg.errors.InsufficientPrivilege):
                break
            except psycopg.errors.InternalError_ as error:
                found.append(f"index {name}: {error.diag.message_primary}")
    return found


def _amcheck(session: psycopg.Connection[Any]) -> sql.Identifier:
    """The schema of the extension amcheck, which is in no search path here."""
    place = (
        "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'amcheck'"
    )
    row = session.execute(place).fetchone()
    return sql.Identifier(row[0] if row is not None else "pg_catalog")


def require_server(session: psycopg.Connection[Any], place: PostgresAddress) -> None:
    """Raise InvalidInput for a server that is too old, or a database of another encoding than UTF8."""
    if session.info.server_version < _OLDEST * 10_000:
        raise InvalidInput(
            f"the server of {place} is PostgreSQL {session.info.server_version // 10_000}",
            expected=f"PostgreSQL {_OLDEST} or later",
            hint="upgrade the server, or take another one",
        )
    encoding = session.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise InvalidInput(
            f"the database of {place} has the encoding {encoding}",
            expected="a database with the encoding UTF8",
            hint="make one: createdb --encoding=UTF8 --template=template0 NAME",
        )


def not_found(place: PostgresAddress) -> CollectionNotFound:
    """The error where the collection's tables are not there."""
    return CollectionNotFound(
        f"no collection at {place}",
        expected=f"a schema {place.collection} with gnomon's tables in that database",
        hint=f"make one: gnomon index PATH --into {shlex.quote(str(place))}",
    )


def quoted(name: str) -> str:
    """A name as it is written in a statement."""
    return '"' + name.replace('"', '""') + '"'
