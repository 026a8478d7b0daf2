"""A table of PostgreSQL with vectors, of pgvector or arrays of numbers, read in a read-only transaction."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Text, cast, column, create_engine, select, table, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.doctor.stores.source import TEXTS, VECTORS, Batch, Columns, Source, chosen

_ROWS = 2000
_OURS = ("table", "vector", "text", "id")
_KINDS = ("vector", "halfvec", "_float4", "_float8", "_numeric")
_COLUMNS = """SELECT column_name, udt_name FROM information_schema.columns
    WHERE table_schema = :schema AND table_name = :name ORDER BY ordinal_position"""
_TABLES = """SELECT table_schema || '.' || table_name FROM information_schema.columns
    WHERE udt_name IN ('vector', 'halfvec') ORDER BY 1 LIMIT 20"""


def sources(place: str, columns: Columns) -> list[Source]:
    """The one source of the table that the address names.

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
    url, asked = _split(place)
    engine = create_engine(url, execution_options={"postgresql_readonly": True})
    schema, _, name = asked.get("table", "").rpartition(".")
    schema = schema or "public"
    with _explained(url), engine.connect() as connection:
        if not name:
            there = list(dict.fromkeys(connection.execute(text(_TABLES)).scalars()))
            raise InvalidInput(
                f"{shown(place)} names no table",
                expected=f"one of: {', '.join(there) or '(no table with vectors)'}",
                hint="add ?table=NAME, with &vector=COLUMN and &text=COLUMN where they are not plain",
            )
        found = connection.execute(text(_COLUMNS), {"schema": schema, "name": name})
        kinds = {row[0]: row[1] for row in found}
    where = f"the table {schema}.{name}"
    if not kinds:
        raise InvalidInput(f"{where} is not there, or may not be read", expected="a table", hint="check ?table=")
    named = Columns(columns.text or asked.get("text", ""), columns.vector or asked.get("vector", ""))
    vector = chosen("vector", named.vector, _of(kinds, _KINDS, named.vector), VECTORS, where)
    if not vector:
        raise InvalidInput(
            f"{where} has no column of vectors",
            expected=f"a column of pgvector or an array of numbers; it has {', '.join(kinds)}",
            hint="name it: ?vector=COLUMN",
        )
    body = chosen("text", named.text, _of(kinds, ("text", "varchar", "bpchar"), named.text), TEXTS, where)
    key = asked.get("id", "id" if "id" in kinds else "")
    rows = partial(_rows, engine, (schema, name), (key, vector, body))
    return [Source(f"{schema}.{name}", rows, has_texts=bool(body), notes=(f"{vector}: {kinds[vector]}",))]


def shown(place: str) -> str:
    """The address without its password."""
    return make_url(place).render_as_string(hide_password=True)


def _split(place: str) -> tuple[URL, dict[str, str]]:
    try:
        url = make_url(place)
    except SQLAlchemyError as error:
        raise InvalidInput(
            f"the address {place.split('@')[-1]} is not understood",
            expected="postgresql://user@host/database?table=NAME&vector=COLUMN&text=COLUMN",
        ) from error
    asked = {name: value for name in _OURS if isinstance(value := url.query.get(name), str)}
    url = url.difference_update_query(_OURS).set(drivername="postgresql+psycopg")
    return url, asked


def _of(kinds: dict[str, str], wanted: tuple[str, ...], named: str) -> list[str]:
    """The columns of some kinds; one that is named is taken whatever its kind."""
    return [name for name, kind in kinds.items() if kind in wanted or name == named]


def _rows(engine: Engine, place: tuple[str, str], names: tuple[str, str, str]) -> Iterator[Batch]:
    key, vector, body = names
    wanted = [cast(column(vector), Text).label("vector_")]
    wanted += [cast(column(key), Text).label("id_")] if key else []
    wanted += [cast(column(body), Text).label("text_")] if body else []
    query = select(*wanted).select_from(table(place[1], schema=place[0]))
    seen = 0
    with _explained(engine.url), engine.connect() as connection:
        result = connection.execution_options(stream_results=True, yield_per=_ROWS).execute(query)
        for rows in result.partitions():
            ids = [row.id_ if key else str(seen + at) for at, row in enumerate(rows)]
            seen += len(rows)
            vectors = [None if row.vector_ is None else parsed(row.vector_) for row in rows]
            yield Batch(ids, vectors, [row.text_ if body else None for row in rows])


def parsed(written: str) -> Array:
    """A vector as PostgreSQL writes it: [1,2] of pgvector, {1,2} of an array. Raises InvalidInput."""
    inside = written.strip()[1:-1]
    try:
        if written.strip()[:1] not in ("[", "{"):
            raise ValueError(written)
        parts = [part.strip() for part in inside.split(",")] if inside else []
        numbers = [float("nan") if part.upper() == "NULL" else float(part) for part in parts]
    except ValueError as error:
        raise InvalidInput(
            f"a value {json.dumps(written[:40])} in the column of vectors",
            expected="pgvector's vector or halfvec, or an array of numbers",
            hint="name another column: ?vector=COLUMN",
        ) from error
    return np.array(numbers, dtype=np.float32)


class _explained:  # noqa: N801 - used as a function
    """Turns the database's errors into gnomon's, without the password."""

    def __init__(self, url: URL) -> None:
        self._url = url

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, SQLAlchemyError):
            said = str(getattr(error, "orig", error)).strip().splitlines()
            raise InvalidInput(
                f"{self._url.render_as_string(hide_password=True)}: {said[0] if said else error}",
                expected="a PostgreSQL server that answers, and a table that may be read",
                hint="check the address, the user and the password",
            ) from error
