"""Interleavings of two versions as the catalog keeps them: one at a time, and what the clicks on each search said."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.dialect import upsert
from gnomon.collection.catalog.versions import state_name, timestamp


@dataclass(frozen=True)
class InterleavingRow:
    """An interleaving of the results of a live version and a candidate; `outcome` is "" while it goes on.

    `secret` signs the ids of its searches. `settings` are plain values.
    """

    id: int
    live_id: int
    candidate_id: int
    settings: Mapping[str, Any]
    secret: str
    started: str
    ended: str = ""
    outcome: str = ""


def begin(connection: Connection, *, live_id: int, candidate_id: int, settings: Mapping[str, Any]) -> None:
    """Begin an interleaving. None may be going on."""
    row = {
        "live_id": live_id,
        "candidate_id": candidate_id,
        "settings": json.dumps(dict(settings), sort_keys=True),
        "secret": secrets.token_hex(16),
        "started": timestamp(),
    }
    connection.execute(insert(schema.interleavings).values(**row))


def last(connection: Connection) -> InterleavingRow | None:
    """The interleaving that goes on, else the last one that ended; None before the first."""
    table = schema.interleavings
    row = connection.execute(select(table).order_by(table.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _interleaving(row)


def is_possible(connection: Connection, row: InterleavingRow) -> bool:
    """Whether its versions are still the live one, and one that is ready."""
    return state_name(connection, row.live_id) == "live" and state_name(connection, row.candidate_id) == "ready"


def end(connection: Connection, row: InterleavingRow, outcome: str) -> bool:
    """End an interleaving. False where it has ended already."""
    table = schema.interleavings
    ended = update(table).where(table.c.id == row.id, table.c.ended.is_(None))
    return connection.execute(ended.values(ended=timestamp(), outcome=outcome)).rowcount > 0


def record(connection: Connection, row: InterleavingRow, result: str, *, credit: int, session: str) -> None:
    """Keep what the first event on a result of a search says: 1, -1 or 0. `result` names the search and the place."""
    values = {"interleaving_id": row.id, "search": result, "session": session, "credit": credit}
    connection.execute(upsert(connection, schema.interleaved_searches).values(**values).on_conflict_do_nothing())


def recorded(connection: Connection, row: InterleavingRow) -> list[tuple[str, str, int]]:
    """The results with an event, in the order of their names: name, session and credit."""
    table = schema.interleaved_searches.c
    statement = select(table.search, table.session, table.credit).where(table.interleaving_id == row.id)
    return [
        (name, session, int(credit)) for name, session, credit in connection.execute(statement.order_by(table.search))
    ]


def _interleaving(row: Row[Any]) -> InterleavingRow:
    return InterleavingRow(
        id=row.id,
        live_id=row.live_id,
        candidate_id=row.candidate_id,
        settings=json.loads(row.settings),
        secret=row.secret,
        started=row.started,
        ended=row.ended or "",
        outcome=row.outcome or "",
    )
