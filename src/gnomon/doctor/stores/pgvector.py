"""Reads a PostgreSQL table with vectors (pgvector or arrays of numbers) in a read-only transaction."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Select, Text, cast, column, create_engine, select, table, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.doctor.stores.source import ColumnNames, StoreSource, VectorBatch, choose_column, row_metadata

_ROWS_PER_BATCH = 2000
_OPTIONS = ("table", "vector", "text", "id")
_VECTOR_TYPES = ("vector", "halfvec", "_float4", "_float8", "_numeric")
_COLUMNS = """SELECT column_name, udt_name FROM information_schema.columns
    WHERE table_schema = :schema AND table_name = :name ORDER BY ordinal_position"""
_TABLES = """SELECT table_schema || '.' || table_name FROM information_schema.columns
    WHERE udt_name IN ('vector', 'halfvec') ORDER BY 1 LIMIT 20"""


def sources(place: str, columns: ColumnNames) -> list[StoreSource]:
    """The table that the address names, as one source.

    Raises InvalidInput where psycopg is not installed, nothing answers, or the table has no such columns.
    """
    try:
        importlib.import_module("psycopg")
    except ImportError as error:
        raise InvalidInput(
            "a PostgreSQL table, and psycopg, which reads it, is not installed",
            expected="psycopg",
            hint="pip install 'gnomon[stores]', or pip install 'psycopg[binary]'",
        ) from error
    url, options = _split(place)
    engine = create_engine(url, execution_options={"postgresql_readonly": True})
    schema, _, name = options.get("table", "").rpartition(".")
    schema = schema or "public"
    with _database_errors(url), engine.connect() as connection:
        if not name:
            tables = list(dict.fromkeys(connection.execute(text(_TABLES)).scalars()))
            raise InvalidInput(
                f"{without_password(place)} names no table",
                expected=f"one of: {', '.join(tables) or '(no table with vectors)'}",
                hint="add ?table=NAME, with &vector=COLUMN and &text=COLUMN where they have other names",
            )
        rows = connection.execute(text(_COLUMNS), {"schema": schema, "name": name})
        kinds = {row[0]: row[1] for row in rows}
    where = f"the table {schema}.{name}"
    if not kinds:
        raise InvalidInput(f"{where} does not exist, or may not be read", expected="a table", hint="check ?table=")
    named = ColumnNames(columns.text or options.get("text", ""), columns.vector or options.get("vector", ""))
    vector = choose_column("vector", named.vector, _of(kinds, _VECTOR_TYPES, named.vector), place=where)
    if not vector:
        raise InvalidInput(
            f"{where} has no column of vectors",
            expected=f"a column of pgvector or an array of numbers; it has {', '.join(kinds)}",
            hint="name it: ?vector=COLUMN",
        )
    body = choose_column("text", named.text, _of(kinds, ("text", "varchar", "bpchar"), named.text), place=where)
    key = options.get("id", "id" if "id" in kinds else "")
    others = [
        each
        for each in kinds
        if columns.metadata and each not in (key, vector, body) and kinds[each] not in _VECTOR_TYPES
    ]
    read = partial(_rows, engine, (schema, name), (key, vector, body), others)
    return [StoreSource(f"{schema}.{name}", read, has_texts=bool(body), notes=(f"{vector}: {kinds[vector]}",))]


def without_password(place: str) -> str:
    """The address without its password."""
    return make_url(place).render_as_string(hide_password=True)


def _split(place: str) -> tuple[URL, dict[str, str]]:
    try:
        url = make_url(place)
    except SQLAlchemyError as error:
        raise InvalidInput(
            f"the address {place.split('@')[-1]} is not valid",
            expected="postgresql://user@host/database?table=NAME&vector=COLUMN&text=COLUMN",
        ) from error
    options = {name: value for name in _OPTIONS if isinstance(value := url.query.get(name), str)}
    url = url.difference_update_query(_OPTIONS).set(drivername="postgresql+psycopg")
    return url, options


def _of(kinds: dict[str, str], wanted: tuple[str, ...], named: str) -> list[str]:
    """The columns of some kinds; one that is named is taken whatever its kind."""
    return [name for name, kind in kinds.items() if kind in wanted or name == named]


def _rows(  # noqa: PLR0917 - a partial
    engine: Engine, place: tuple[str, str], names: tuple[str, str, str], others: list[str]
) -> Iterator[VectorBatch]:
    key, vector, body = names
    wanted = [cast(column(vector), Text).label("vector_")]
    wanted += [cast(column(key), Text).label("id_")] if key else []
    wanted += [cast(column(body), Text).label("text_")] if body else []
    beside: list[ColumnElement[Any]] = [column(name).label(f"field_{at}") for at, name in enumerate(others)]
    chosen: list[Any] = [*wanted, *beside]
    query: Select[Any] = select(*chosen).select_from(table(place[1], schema=place[0]))
    seen = 0
    with _database_errors(engine.url), engine.connect() as connection:
        result = connection.execution_options(stream_results=True, yield_per=_ROWS_PER_BATCH).execute(query)
        for rows in result.partitions():
            ids = [row.id_ if key else str(seen + at) for at, row in enumerate(rows)]
            seen += len(rows)
            vectors = [None if row.vector_ is None else parse_vector(row.vector_) for row in rows]
            texts = [row.text_ if body else None for row in rows]
            fields = [dict(zip(others, row[len(wanted) :], strict=True)) for row in rows]
            yield VectorBatch(ids, vectors, texts, [row_metadata(each) for each in fields])


def parse_vector(text: str) -> Array:
    """Parse a vector as PostgreSQL writes it: [1,2] of pgvector, {1,2} of an array. Raises InvalidInput."""
    inside = text.strip()[1:-1]
    try:
        if text.strip()[:1] not in ("[", "{"):
            raise ValueError(text)
        parts = [part.strip() for part in inside.split(",")] if inside else []
        numbers = [float("nan") if part.upper() == "NULL" else float(part) for part in parts]
    except ValueError as error:
        raise InvalidInput(
            f"a value {json.dumps(text[:40])} in the column of vectors",
            expected="pgvector's vector or halfvec, or an array of numbers",
            hint="name another column: ?vector=COLUMN",
        ) from error
    return np.array(numbers, dtype=np.float32)


class _database_errors:  # noqa: N801 - used as a function
    """Turns the database's errors into InvalidInput, without the password."""

    def __init__(self, url: URL) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, SQLAlchemyError):
            lines = str(getattr(error, "orig", error)).strip().splitlines()
            raise InvalidInput(
                f"{self._url.render_as_string(hide_password=True)}: {lines[0] if lines else error}",
                expected="a PostgreSQL server that answers, and a table that may be read",
                hint="check the address, the user and the password",
            ) from error
