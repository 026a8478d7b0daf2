"""Tables registered with a collection: files that are queried beside its documents, recorded in the catalog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.connection import Catalog


@dataclass(frozen=True)
class TableRegistration:
    """A table's name, the file's absolute path, and a description of its columns as plain JSON values."""

    name: str
    path: str
    about: Mapping[str, Any]


class TableRegistry:
    """The tables of one collection. `folder` is where files derived from them may be kept."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self._catalog, self.folder = catalog, folder

    def all(self) -> tuple[TableRegistration, ...]:
        """Every table, in order of name."""
        table = schema.tables
        with self._catalog.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.name)).all()
        return tuple(TableRegistration(row.name, row.path, json.loads(row.about)) for row in rows)

    def put(self, registration: TableRegistration) -> None:
        """Record a table, in place of one of the same name."""
        table = schema.tables
        about = json.dumps(dict(registration.about), ensure_ascii=False)
        with self._catalog.write() as connection:
            connection.execute(delete(table).where(table.c.name == registration.name))
            row = insert(table).values(name=registration.name, path=registration.path, about=about)
            connection.execute(row)

    def remove(self, name: str) -> bool:
        """Delete a table's record. Returns False where there is none of that name."""
        table = schema.tables
        with self._catalog.write() as connection:
            return connection.execute(delete(table).where(table.c.name == name)).rowcount > 0
