"""Tables registered with a collection: files asked beside its documents. The catalog remembers them."""

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
    """A name, the file's absolute path, and what is known of it."""

    name: str
    path: str
    about: Mapping[str, Any]


class TableRegistry:
    """The tables of one collection. `folder` is where what is derived from them may be kept."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self._catalog, self.folder = catalog, folder

    def all(self) -> tuple[TableRegistration, ...]:
        """Every table, by name."""
        table = schema.tables
        with self._catalog.read() as connection:
            rows = connection.execute(select(table).order_by(table.c.name)).all()
        return tuple(TableRegistration(row.name, row.path, json.loads(row.about)) for row in rows)

    def put(self, registration: TableRegistration) -> None:
        """Keep a table, in place of one of the same name."""
        table = schema.tables
        about = json.dumps(dict(registration.about), ensure_ascii=False)
        with self._catalog.write() as connection:
            connection.execute(delete(table).where(table.c.name == registration.name))
            row = insert(table).values(name=registration.name, path=registration.path, about=about)
            connection.execute(row)

    def remove(self, name: str) -> bool:
        """Forget a table; False where there was none of that name."""
        table = schema.tables
        with self._catalog.write() as connection:
            return connection.execute(delete(table).where(table.c.name == name)).rowcount > 0
