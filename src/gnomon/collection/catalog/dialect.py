"""What SQLite and PostgreSQL write differently. Every other statement of the catalog is the same on both."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Numeric,
    Table,
    any_,
    column,
    func,
    literal,
    select,
    table,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import Text, TypeEngine


def is_postgres(connection: Connection) -> bool:
    """Whether the catalog is in PostgreSQL."""
    return connection.dialect.name == "postgresql"


def upsert(connection: Connection, into: Table) -> sqlite.Insert:
    """An insert that may say what happens on a conflict, in the same words on both."""
    return cast(sqlite.Insert, postgresql.insert(into)) if is_postgres(connection) else sqlite.insert(into)


def plain(connection: Connection, statement: str) -> str:
    """A statement in plain text, its parameters written as "?", as `exec_driver_sql` takes it."""
    return statement.replace("?", "%s") if is_postgres(connection) else statement


def among(connection: Connection, of: ColumnElement[Any], values: Sequence[int | str]) -> ColumnElement[bool]:
    """Whether a column has one of these values, however many, in one parameter."""
    if is_postgres(connection):
        return postgres_among(of, values)
    return sqlite_among(of, values)


def sqlite_among(of: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """The same on SQLite: numbers are read just as those in the documents' metadata are."""
    listed = func.json_each(literal(json.dumps(values, ensure_ascii=False))).table_valued("value")
    return of.in_(select(listed.c.value))


def postgres_among(of: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """The same on PostgreSQL, of texts, whole numbers or decimals, all of one type."""
    types: dict[type, TypeEngine[Any]] = {str: Text(), int: BigInteger(), Decimal: Numeric()}
    return of == any_(literal(list(values), ARRAY(types[type(values[0]) if values else int])))


def next_ids(connection: Connection, of: Table, count: int) -> int:
    """The first of `count` ids, one after another, which no row ever had: for rows that this transaction inserts.

    Only one transaction writes at a time. On PostgreSQL those of one that is rolled back are never given again.
    """
    if is_postgres(connection):
        sequence = f"{of.name}_id_seq"
        last = func.setval(sequence, func.nextval(sequence) + count - 1)
        return int(connection.execute(select(last)).scalar_one()) - count + 1
    seq: ColumnElement[int] = column("seq")
    given = select(seq).select_from(table("sqlite_sequence")).where(column("name") == of.name)
    return int(connection.execute(given).scalar_one_or_none() or 0) + 1
