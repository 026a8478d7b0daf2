"""What changes the catalog. Every function runs inside its caller's write transaction."""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, literal, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from gnomon.collection import schema
from gnomon.core.documents import Chunk, Document


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it stood when it was read. Size in bytes, `sha256` over its bytes."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document with its chunks, ready to be written."""

    document: Document
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What a write did."""

    documents: int = 0
    added: int = 0
    removed: int = 0

    def __add__(self, other: Change) -> Change:
        return Change(
            self.documents + other.documents, self.added + other.added, self.removed + other.removed
        )


def begin_source(connection: Connection, source: Source) -> int:
    """The row of a file that is about to be written; unfinished until `end_source`."""
    table = schema.sources
    found = connection.execute(select(table.c.id).where(table.c.path == source.path)).scalar_one_or_none()
    values = {"path": source.path, "size": source.size, "mtime_ns": source.mtime_ns, "sha256": ""}
    if found is None:
        return int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())
    connection.execute(update(table).where(table.c.id == found).values(**values))
    return int(found)


def write_part(
    connection: Connection, chunking_id: int, source: Source, source_id: int, documents: Sequence[Prepared]
) -> tuple[Change, list[str]]:
    """Put some of a file's documents in, and say under which ids. One that is there unchanged stays."""
    change, keys = Change(), []
    for prepared in documents:
        key = _free_key(connection, prepared.document, source, source_id)
        old = _documents(connection, schema.documents.c.key == key).get(key)
        change += _write_document(connection, chunking_id, key, source_id, prepared, old)
        keys.append(key)
    return change, keys


def end_source(connection: Connection, source: Source, source_id: int, keys: set[str]) -> Change:
    """Take out the file's documents that are not among `keys`, and mark it as written whole."""
    rows = _documents(connection, schema.documents.c.source_id == source_id)
    change = _drop(connection, [row.id for key, row in rows.items() if key not in keys])
    connection.execute(
        update(schema.sources).where(schema.sources.c.id == source_id).values(sha256=source.sha256)
    )
    return change


def keep_roots(connection: Connection, labels: Mapping[str, str]) -> None:
    """Remember what the ids of documents below each indexed path begin with."""
    rows = [{"path": path, "label": label} for path, label in labels.items()]
    if rows:
        connection.execute(upsert(schema.roots).on_conflict_do_nothing(), rows)


def write_documents(connection: Connection, chunking_id: int, documents: Sequence[Prepared]) -> Change:
    """Put documents in that come from no file; one whose id is there already is replaced."""
    change = Change()
    for prepared in documents:
        key = prepared.document.id
        old = _documents(connection, schema.documents.c.key == key).get(key)
        change += _write_document(connection, chunking_id, key, None, prepared, old)
    return change


def touch_source(connection: Connection, source: Source) -> None:
    """Remember the new size and time of a file whose content is unchanged."""
    connection.execute(
        update(schema.sources)
        .where(schema.sources.c.path == source.path)
        .values(size=source.size, mtime_ns=source.mtime_ns)
    )


def remove_sources(connection: Connection, paths: Iterable[str]) -> Change:
    """Take files that are gone out, with their documents and chunks."""
    change = Change()
    for path in paths:
        source_id = connection.execute(
            select(schema.sources.c.id).where(schema.sources.c.path == path)
        ).scalar_one_or_none()
        if source_id is None:
            continue
        rows = _documents(connection, schema.documents.c.source_id == source_id)
        change += _drop(connection, [row.id for row in rows.values()])
        connection.execute(delete(schema.sources).where(schema.sources.c.id == source_id))
    return change


def remove_documents(connection: Connection, keys: Iterable[str]) -> Change:
    """Take documents out by id. Their file, if any, is forgotten when nothing of it is left."""
    change = Change()
    for key in keys:
        rows = _documents(connection, schema.documents.c.key == key)
        change += _drop(connection, [row.id for row in rows.values()])
    used = select(schema.documents.c.source_id).where(schema.documents.c.source_id.is_not(None))
    connection.execute(delete(schema.sources).where(schema.sources.c.id.not_in(used)))
    return change


def _documents(connection: Connection, condition: Any) -> dict[str, Any]:
    table = schema.documents
    columns = (table.c.id, table.c.key, table.c.content_hash, table.c.metadata, table.c.media_type)
    return {row.key: row for row in connection.execute(select(*columns).where(condition))}


def _free_key(connection: Connection, document: Document, source: Source, source_id: int) -> str:
    """The document's id, or the file's path and the id where another file, or a hand, has put in that id."""
    owner = connection.execute(
        select(schema.documents.c.source_id).where(schema.documents.c.key == document.id)
    ).one_or_none()
    if owner is None or owner.source_id == source_id:
        return document.id
    return f"{source.path}#{document.id}"


def _write_document(
    connection: Connection, chunking_id: int, key: str, source_id: int | None, prepared: Prepared, old: Any
) -> Change:
    document = prepared.document
    plain = _plain(document.metadata)
    if old is not None:
        same = (old.content_hash, old.metadata, old.media_type)
        if same == (document.content_hash, plain, document.media_type):
            return Change()
    change = _drop(connection, [old.id]) if old is not None else Change()
    body = zlib.compress(document.text.encode(), 1)
    values = {
        "key": key,
        "source_id": source_id,
        "title": document.title,
        "source": document.source,
        "media_type": document.media_type,
        "metadata": plain,
        "content_hash": document.content_hash,
        "characters": len(document.text),
        "body": body,
    }
    new = insert(schema.documents).values(**values).returning(schema.documents.c.id)
    document_id = connection.execute(new).scalar_one()
    rows = [
        {
            "document_id": document_id,
            "chunking_id": chunking_id,
            "ordinal": chunk.ordinal,
            "start": chunk.start,
            "end": chunk.end,
            "text": chunk.text,
            "tokens": chunk.tokens,
            "heading": json.dumps(chunk.heading, ensure_ascii=False),
            "text_hash": chunk.text_hash,
        }
        for chunk in prepared.chunks
    ]
    if rows:
        connection.execute(insert(schema.chunks), rows)
        _journal(connection, "+", [document_id])
    return change + Change(documents=1, added=len(rows))


def _drop(connection: Connection, document_ids: Sequence[int]) -> Change:
    """Delete documents and their chunks, and say so in the journal."""
    if not document_ids:
        return Change()
    removed = 0
    for at in range(0, len(document_ids), 500):
        block = document_ids[at : at + 500]
        _journal(connection, "-", block)
        gone = connection.execute(delete(schema.chunks).where(schema.chunks.c.document_id.in_(block)))
        removed += gone.rowcount
        connection.execute(delete(schema.documents).where(schema.documents.c.id.in_(block)))
    return Change(removed=removed)


def _journal(connection: Connection, op: str, document_ids: Sequence[int]) -> None:
    chunk = schema.chunks.c
    nonce = literal(secrets.randbits(62))
    entries = (
        select(literal(op), chunk.id, chunk.chunking_id, nonce)
        .where(chunk.document_id.in_(document_ids))
        .order_by(chunk.id)
    )
    columns = ["op", "chunk_id", "chunking_id", "nonce"]
    connection.execute(insert(schema.journal).from_select(columns, entries))


def _plain(metadata: Mapping[str, Any]) -> str:
    return json.dumps(dict(metadata), sort_keys=True, ensure_ascii=False, default=str)


def count(connection: Connection, table: Any, *conditions: Any) -> int:
    """How many rows of a table meet the conditions."""
    return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())
