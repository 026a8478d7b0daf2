"""A version: (chunking, space, retrieval settings), immutable. One is live at any time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.sqlite import insert as upsert

from gnomon.collection import schema
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.space import Space


@dataclass(frozen=True)
class Version:
    """One row of the catalog's versions, with what it refers to. `model` is what to load the encoder from."""

    id: int
    chunking_id: int
    chunking: dict[str, Any]
    space_id: int
    space: Space
    model: str
    retrieval: RetrievalSettings

    @property
    def name(self) -> str:
        """As people name it."""
        return f"v{self.id}"


def live(connection: Connection) -> Version | None:
    """The version that serves, None in a new collection."""
    v, c, s = schema.versions.c, schema.chunkings.c, schema.spaces.c
    row = connection.execute(
        select(v.id, v.chunking_id, c.settings, v.space_id, s.space, s.model, v.retrieval)
        .join_from(schema.versions, schema.chunkings, c.id == v.chunking_id)
        .join(schema.spaces, s.id == v.space_id)
        .where(v.state == "live")
    ).one_or_none()
    if row is None:
        return None
    return Version(
        id=row.id,
        chunking_id=row.chunking_id,
        chunking=json.loads(row.settings),
        space_id=row.space_id,
        space=Space.from_json(json.loads(row.space)),
        model=row.model,
        retrieval=RetrievalSettings.from_json(json.loads(row.retrieval)),
    )


def create_live(
    connection: Connection, *, chunking: dict[str, Any], space_id: int, retrieval: RetrievalSettings
) -> None:
    """Make a new collection's first version, live at once."""
    table = schema.chunkings
    settings = json.dumps(chunking, sort_keys=True)
    connection.execute(upsert(table).values(settings=settings).on_conflict_do_nothing())
    chunking_id = connection.execute(select(table.c.id).where(table.c.settings == settings)).scalar_one()
    values = {
        "chunking_id": chunking_id,
        "space_id": space_id,
        "retrieval": json.dumps(retrieval.to_json(), sort_keys=True),
        "state": "live",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    connection.execute(insert(schema.versions).values(**values))
