"""The documents that can still be read of a catalog, whatever SQLite finds damaged about it."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from gnomon.collection.catalog.queries import document_of
from gnomon.collection.catalog.sqlite import FILE, translated_errors
from gnomon.core.documents import Document
from gnomon.core.errors import CollectionNotFound, GnomonError
from gnomon.core.files import is_file, replacing, storage_errors


@dataclass(frozen=True, slots=True)
class Salvage:
    """How many documents of a collection can be read, and how many are lost, as far as that can be told."""

    readable: int = 0
    unreadable: int = 0


def salvage(folder: Path, save_to: Path | None = None) -> Salvage:
    """Read every document by itself; with `save_to` write the readable ones as JSON lines, which can be indexed.

    A document whose text is not the one that was added counts as unreadable. Raises CollectionNotFound, StorageError.
    """
    found = list[bool]()
    if not is_file(folder / FILE):
        raise CollectionNotFound(
            f"no collection at {folder}",
            expected=f"a folder that holds {FILE}",
            hint="name the collection's folder",
        )
    if save_to is None:
        found += [document is not None for document in _documents(folder / FILE)]
    else:
        with storage_errors(save_to), replacing(save_to) as beside, beside.open("w", encoding="utf-8") as file:
            for document in _documents(folder / FILE):
                found.append(document is not None)
                if document is not None:
                    row = {"_id": document.id, "title": document.title, "text": document.text}
                    file.write(json.dumps({**row, "metadata": dict(document.metadata)}) + "\n")
    return Salvage(sum(found), len(found) - sum(found))


def _documents(path: Path) -> Iterator[Document | None]:
    """Each document, None for one that cannot be read. By row id, so that a damaged page hides only its own."""
    with translated_errors(path), closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            query = "SELECT max(seq) FROM sqlite_sequence WHERE name = 'documents'"
            last = int(connection.execute(query).fetchone()[0] or 0)
        except (sqlite3.Error, TypeError, ValueError):
            return
        for row_id in range(1, last + 1):
            try:
                row = connection.execute("SELECT * FROM documents WHERE id = ?", (row_id,)).fetchone()
                if row is not None:
                    yield document_of(SimpleNamespace(**dict(row)))
            except (sqlite3.Error, GnomonError, zlib.error, ValueError, TypeError, AttributeError):
                yield None
