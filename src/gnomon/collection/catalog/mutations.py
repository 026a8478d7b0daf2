"""Writes to the catalog. Every function runs inside its caller's write transaction.

A batch takes a few statements, however many documents it has: what SQLAlchemy does for each statement costs
more than what SQLite does for a small document.
"""

from __future__ import annotations

import json
import secrets
import zlib
from collections.abc import Collection as Keys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    delete,
    exists,
    insert,
    literal,
    not_,
    select,
    update,
)

from gnomon.collection.catalog import fields, schema
from gnomon.collection.catalog.chunk_texts import stored_text, stored_texts
from gnomon.collection.catalog.dialect import next_ids, upsert
from gnomon.collection.catalog.fields import FieldTypes, Misfits, metadata_json
from gnomon.collection.catalog.queries import at_or_below
from gnomon.core.batching import in_blocks
from gnomon.core.documents import Chunk, Document
from gnomon.text.parts import ChunkedDocument, FilePart, SourceFile

_heading_json = json.JSONEncoder(ensure_ascii=False).encode
_FACTS = ("size", "mtime_ns", "ctime_ns")


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """What a write did: documents put in, chunks added and removed, and values that are not of their field's type."""

    documents: int = 0
    added: int = 0
    removed: int = 0
    misfits: tuple[Misfits, ...] = ()

    def __add__(self, other: CatalogChange) -> CatalogChange:
        return CatalogChange(
            self.documents + other.documents,
            self.added + other.added,
            self.removed + other.removed,
            fields.merged((*self.misfits, *other.misfits)),
        )


@dataclass(frozen=True, slots=True)
class DocumentContent:
    """What shows that a document changed: the digest of title and text, metadata as JSON, media type."""

    digest: str
    metadata: str
    media_type: str


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """A document as it is after the batch: a row of the catalog that stays, or a new document to insert."""

    source_id: int | None
    content: DocumentContent
    row_id: int | None = None
    new: ChunkedDocument | None = None
    locations: str = ""


class BatchPlan:
    """What a batch of documents changes. `stored` are the rows of all documents that it could touch.

    `deleted_rows` are row ids of documents to delete, `relocated` unchanged documents (by row id) that stand elsewhere
    in their file now; `documents` and `chunks` count what was put in, and
    `replaced_chunks` the chunks of new documents that a later one of the same batch replaced.
    """

    def __init__(self, stored: Iterable[Any], types: FieldTypes) -> None:
        self._types, self.misfits = types, list[Misfits]()
        self.deleted_rows: list[int] = []
        self.relocated: dict[int, ChunkedDocument] = {}
        self.documents = self.chunks = self.replaced_chunks = 0
        self._by_key: dict[str, PlannedDocument] = {}
        self._keys_of_source: dict[int | None, dict[str, None]] = {}
        for row in stored:
            content = DocumentContent(row.content_hash, row.metadata, row.media_type)
            self._set(row.key, PlannedDocument(row.source_id, content, row_id=row.id, locations=row.locations))

    def free_key(self, key: str, other: str, source_id: int) -> str:
        """`key`, or `other` where a document of another file, or of none, has that id."""
        owner = self._by_key.get(key)
        return key if owner is None or owner.source_id == source_id else other

    def put(self, key: str, source_id: int | None, chunked: ChunkedDocument) -> None:
        """Put a document in, in place of any other of that id. An unchanged one stays."""
        document = chunked.document
        metadata, misfits = self._types.converted(document)
        content = DocumentContent(document.content_hash, metadata_json(metadata), document.media_type)
        old = self._by_key.get(key)
        if old is not None:
            if old.content == content:
                if old.row_id is not None and old.locations != _locations_json(document):
                    self.relocated[old.row_id] = chunked
                return
            self._remove(key)
        self._set(key, PlannedDocument(source_id, content, new=chunked))
        self.misfits += misfits
        self.documents += 1
        self.chunks += len(chunked.chunks)

    def keep_only(self, source_id: int, keys: Keys[str]) -> None:
        """Take out the file's documents that are not among `keys`."""
        for key in [key for key in self._keys_of_source.get(source_id, ()) if key not in keys]:
            self._remove(key)

    def new(self) -> Iterator[tuple[str, PlannedDocument, ChunkedDocument]]:
        """The documents to insert, in the order in which they were put in."""
        for key, planned in self._by_key.items():
            if planned.new is not None:
                yield key, planned, planned.new

    def _set(self, key: str, planned: PlannedDocument) -> None:
        self._by_key[key] = planned
        self._keys_of_source.setdefault(planned.source_id, {})[key] = None

    def _remove(self, key: str) -> None:
        old = self._by_key.pop(key)
        del self._keys_of_source[old.source_id][key]
        if old.row_id is not None:
            self.deleted_rows.append(old.row_id)
            self.relocated.pop(old.row_id, None)
        elif old.new is not None:
            self.replaced_chunks += len(old.new.chunks)


def write_parts(
    connection: Connection, chunking_id: int, parts: Sequence[FilePart], *, written: Mapping[str, Keys[str]]
) -> tuple[CatalogChange, dict[str, set[str]]]:
    """Write parts of files. Returns what changed, and the ids of the documents written, by path.

    A file's last part marks it as completely written, and deletes those of its documents that are in none of
    its parts; `written` are the ids of earlier parts, by path.
    """
    _touch_sources(connection, [part.source for part in parts if part.unchanged])
    parts = [part for part in parts if not part.unchanged]
    ids, known = _upsert_sources(connection, parts)
    ends = [ids[part.source.path] for part in parts if part.last and part.source.path in known]
    candidates = [key for part in parts for each in part.documents for key in _keys_for(each, part.source)]
    types = fields.learn(connection, (each.document for part in parts for each in part.documents))
    plan = BatchPlan(_documents(connection, candidates, ends), types)
    keys: dict[str, set[str]] = {}
    for part in parts:
        source_id = ids[part.source.path]
        own = keys.setdefault(part.source.path, set())
        for chunked in part.documents:
            key = plan.free_key(*_keys_for(chunked, part.source), source_id)
            plan.put(key, source_id, chunked)
            own.add(key)
        if part.last:
            plan.keep_only(source_id, own | set(written.get(part.source.path, ())))
    return _apply(connection, chunking_id, plan), keys


def keep_roots(connection: Connection, labels: Mapping[str, str]) -> None:
    """Remember the label that the ids of documents below each indexed path begin with."""
    rows = [{"path": path, "label": label} for path, label in labels.items()]
    if rows:
        connection.execute(upsert(connection, schema.roots).on_conflict_do_nothing(), rows)


def move_roots(connection: Connection, moved: Mapping[str, str]) -> None:
    """Give roots that were moved, with those below them and with all their files, their new paths."""
    rows = [row for table in (schema.roots, schema.sources) for row in connection.execute(select(table.c.path))]
    now: dict[str, str] = {}
    for row in rows:
        for old, new in moved.items():
            if row.path == old or row.path.startswith(old.rstrip("/") + "/"):
                now[row.path] = new + row.path[len(old) :]
    root = schema.roots.c.path
    moves = update(schema.roots).where(root == bindparam("old")).values(path=bindparam("new"))
    if now:
        connection.execute(moves, [{"old": old, "new": new} for old, new in now.items()])
    move_sources(connection, now)


def move_sources(connection: Connection, moved: Mapping[str, str], *, read_again: bool = False) -> None:
    """Give files their new paths; their documents stay. `read_again`: as of files that were read in part."""
    rows = [{"old": old, "new": new} for old, new in moved.items()]
    if not rows:
        return
    source, document = schema.sources.c, schema.documents.c
    of = select(source.id).where(source.path == bindparam("old")).scalar_subquery()
    connection.execute(update(schema.documents).where(document.source_id == of).values(source=bindparam("new")), rows)
    values: dict[str, Any] = {"path": bindparam("new"), **({"sha256": ""} if read_again else {})}
    connection.execute(update(schema.sources).where(source.path == bindparam("old")).values(values), rows)


def write_documents(
    connection: Connection,
    chunking_id: int,
    documents: Sequence[ChunkedDocument],
    *,
    files: Mapping[str, int | None] | None = None,
) -> CatalogChange:
    """Write documents that come from no file, or from the `files` (row ids) of their ids; one whose id is there already
    is replaced.
    """
    keys = [chunked.document.id for chunked in documents]
    types = fields.learn(connection, (chunked.document for chunked in documents))
    plan = BatchPlan(_documents(connection, keys), types)
    for key, chunked in zip(keys, documents, strict=True):
        plan.put(key, (files or {}).get(key), chunked)
    return _apply(connection, chunking_id, plan)


def remove_sources(connection: Connection, paths: Iterable[str], counted: int | None = None) -> CatalogChange:
    """Delete files with their documents and chunks. `counted`: only chunks of this chunking are counted."""
    source, document = schema.sources.c, schema.documents.c
    ids = [row.id for row in _rows_where(connection, (source.id,), source.path, values=list(paths))]
    change = _delete(
        connection, [row.id for row in _rows_where(connection, (document.id,), document.source_id, values=ids)], counted
    )
    for block in in_blocks(ids, schema.IN_VALUES):
        of = select(source.path).where(source.id.in_(block))
        connection.execute(delete(schema.roots).where(schema.roots.c.path.in_(of)))  # files that were named by path
        connection.execute(delete(schema.sources).where(source.id.in_(block)))
    return change


def forget_sources(connection: Connection, paths: Sequence[str]) -> None:
    """Delete files of these paths, and below them, that have no documents, and what is known of their roots."""
    source = schema.sources.c
    left = exists(select(literal(1)).where(schema.documents.c.source_id == source.id).correlate(schema.sources))
    connection.execute(delete(schema.sources).where(at_or_below(source.path, paths), not_(left)))
    connection.execute(delete(schema.roots).where(at_or_below(schema.roots.c.path, paths)))


def remove_documents(connection: Connection, keys: Iterable[str], counted: int | None = None) -> CatalogChange:
    """Delete documents by id, and their file when nothing of it is left.

    `counted`: only chunks of this chunking are counted.
    """
    source, document = schema.sources.c, schema.documents.c
    rows = list(
        _rows_where(connection, (document.id, document.source_id), document.key, values=list(dict.fromkeys(keys)))
    )
    change = _delete(connection, [row.id for row in rows], counted)
    left = exists(select(literal(1)).where(document.source_id == source.id).correlate(schema.sources))
    for block in in_blocks(list({row.source_id for row in rows} - {None}), schema.IN_VALUES):
        connection.execute(delete(schema.sources).where(source.id.in_(block), not_(left)))
    return change


def add_chunks(connection: Connection, chunking_id: int, chunks: Mapping[int, Sequence[Chunk]]) -> int:
    """Insert chunks of documents (by row id) that have none of this chunking. Returns how many."""
    rows = [_chunk_row(of, chunking_id, chunk) for of, each in chunks.items() for chunk in each]
    rows = [{**row, "text": text} for row, text in zip(rows, stored_texts(connection, rows), strict=True)]
    if rows:
        _insert_chunks(connection, rows)
    return len(rows)


def drop_chunks(connection: Connection, ids: Sequence[int]) -> None:
    """Delete chunks of retired versions, with entries in the journal. Their documents stay."""
    for block in in_blocks(ids, schema.IN_VALUES):
        _journal(connection, "-", schema.chunks.c.id.in_(block))
        connection.execute(delete(schema.chunks).where(schema.chunks.c.id.in_(block)))


def _touch_sources(connection: Connection, sources: Sequence[SourceFile]) -> None:
    """Remember the new sizes and times of files whose content is unchanged."""
    known = update(schema.sources).where(schema.sources.c.path == bindparam("of"))
    rows = [{"of": source.path, **{name: getattr(source, name) for name in _FACTS}} for source in sources]
    if rows:
        connection.execute(known.values({name: bindparam(name) for name in _FACTS}), rows)


def _upsert_sources(connection: Connection, parts: Sequence[FilePart]) -> tuple[dict[str, int], set[str]]:
    """Insert or update the rows of files. Returns row ids by path, and the paths that were there before."""
    source = schema.sources.c
    paths = list(dict.fromkeys(part.source.path for part in parts))
    known = {row.path for row in _rows_where(connection, (source.path,), source.path, values=paths)}
    rows = [{**asdict(part.source), **({} if part.last else {"sha256": ""})} for part in parts]
    if rows:
        new = upsert(connection, schema.sources)
        now = {name: new.excluded[name] for name in (*_FACTS, "sha256")}
        connection.execute(new.on_conflict_do_update(index_elements=[source.path], set_=now), rows)
    ids = {row.path: row.id for row in _rows_where(connection, (source.path, source.id), source.path, values=paths)}
    return ids, known


def _keys_for(chunked: ChunkedDocument, source: SourceFile) -> tuple[str, str]:
    """The id that a file's document is to have, and the one it gets where that is taken."""
    return chunked.document.id, f"{source.path}#{chunked.document.id}"


def _documents(connection: Connection, keys: Sequence[str], sources: Sequence[int] = ()) -> list[Any]:
    """The rows that a plan needs: of the documents of these ids, and of all those of these files."""
    c = schema.documents.c
    columns = (c.id, c.key, c.source_id, c.content_hash, c.metadata, c.media_type, c.locations)
    rows = list(_rows_where(connection, columns, c.key, values=list(dict.fromkeys(keys))))
    return rows + list(_rows_where(connection, columns, c.source_id, values=sources))


def _apply(connection: Connection, chunking_id: int, plan: BatchPlan) -> CatalogChange:
    """Delete and insert what a plan says, with entries in the journal."""
    gone = _delete(connection, plan.deleted_rows, chunking_id)
    _relocate(connection, chunking_id, plan.relocated)
    documents: list[dict[str, Any]] = []
    chunks: list[dict[str, Any]] = []
    new = list(plan.new())
    first = next_ids(connection, schema.documents, len(new)) if new else 0
    for row_id, (key, planned, chunked) in enumerate(new, first):
        documents.append(_document_row(row_id, key, planned, document=chunked.document))
        chunks.extend(_chunk_rows(row_id, chunking_id, chunked))
    if documents:
        connection.execute(insert(schema.documents), documents)
    if chunks:
        _insert_chunks(connection, chunks)
    removed = gone.removed + plan.replaced_chunks
    return CatalogChange(plan.documents, plan.chunks, removed, fields.merged(plan.misfits))


def _relocate(connection: Connection, chunking_id: int, documents: Mapping[int, ChunkedDocument]) -> None:
    """Write where unchanged documents stand now. Chunks of other chunkings no longer know it."""
    document, chunk = schema.documents.c, schema.chunks.c
    rows = [{"of": row_id, "json": _locations_json(each.document)} for row_id, each in documents.items()]
    spans = [
        {"of": row_id, "at": one.ordinal, "json": one.location.to_json() if one.location else ""}
        for row_id, each in documents.items()
        for one in each.chunks
    ]
    of: ColumnElement[int] = bindparam("of")
    json_text: ColumnElement[str] = bindparam("json")
    if rows:
        connection.execute(update(schema.documents).where(document.id == of).values(locations=json_text), rows)
        connection.execute(update(schema.chunks).where(chunk.document_id == of).values(location=""), rows)
    if spans:
        one_chunk = (chunk.document_id == of, chunk.chunking_id == chunking_id, chunk.ordinal == bindparam("at"))
        connection.execute(update(schema.chunks).where(*one_chunk).values(location=json_text), spans)


def _locations_json(document: Document) -> str:
    return document.locations.to_json() if document.locations is not None else ""


def _insert_chunks(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert chunks, with entries in the journal."""
    first = next_ids(connection, schema.chunks, len(rows))
    connection.execute(insert(schema.chunks), [{"id": first + at, **row} for at, row in enumerate(rows)])
    _journal(connection, "+", schema.chunks.c.id.between(first, first + len(rows) - 1))


def _document_row(row_id: int, key: str, planned: PlannedDocument, *, document: Document) -> dict[str, Any]:
    return {
        "id": row_id,
        "key": key,
        "source_id": planned.source_id,
        "title": document.title,
        "source": document.source,
        "media_type": planned.content.media_type,
        "metadata": planned.content.metadata,
        "content_hash": planned.content.digest,
        "characters": len(document.text),
        "locations": _locations_json(document),
        "body": zlib.compress(document.text.encode(), 1),
    }


def _chunk_rows(document_id: int, chunking_id: int, chunked: ChunkedDocument) -> Iterator[dict[str, Any]]:
    for chunk in chunked.chunks:
        text = stored_text(chunked.document.text, chunk.start, chunk.end, text=chunk.text)
        yield _chunk_row(document_id, chunking_id, chunk, text=text)


def _chunk_row(document_id: int, chunking_id: int, chunk: Chunk, *, text: str | None = None) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "chunking_id": chunking_id,
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text if text is None else text,
        "tokens": chunk.tokens,
        "heading": _heading_json(chunk.heading),
        "text_hash": chunk.text_hash,
        "location": chunk.location.to_json() if chunk.location is not None else "",
    }


def _delete(connection: Connection, document_ids: Sequence[int], counted: int | None) -> CatalogChange:
    """Delete documents and their chunks of all chunkings, with entries in the journal.

    What is counted are the chunks of one chunking, those that a version has.
    """
    chunk, removed = schema.chunks.c, 0
    for block in in_blocks(document_ids, schema.IN_VALUES):
        among = chunk.document_id.in_(block)
        _journal(connection, "-", among)
        if counted is not None:
            connection.execute(delete(schema.chunks).where(among, chunk.chunking_id != counted))
        removed += connection.execute(delete(schema.chunks).where(among)).rowcount
        connection.execute(delete(schema.documents).where(schema.documents.c.id.in_(block)))
    return CatalogChange(removed=removed)


def _journal(connection: Connection, op: str, which: ColumnElement[bool]) -> None:
    chunk = schema.chunks.c
    nonce = literal(secrets.randbits(62))
    entries = select(literal(op), chunk.id, chunk.chunking_id, nonce).where(which).order_by(chunk.id)
    columns = ["op", "chunk_id", "chunking_id", "nonce"]
    connection.execute(insert(schema.journal).from_select(columns, entries))


def _rows_where(
    connection: Connection, columns: Sequence[Any], among: ColumnElement[Any], *, values: Sequence[Any]
) -> Iterator[Any]:
    """Rows of the columns' table whose column `among` has one of the values."""
    for block in in_blocks(values, schema.IN_VALUES):
        yield from connection.execute(select(*columns).where(among.in_(block)))
