"""What changes the catalog. Every function runs inside its caller's write transaction.

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
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    bindparam,
    column,
    delete,
    exists,
    insert,
    literal,
    not_,
    select,
    table,
    update,
)
from sqlalchemy.dialects.sqlite import insert as upsert

from gnomon.collection.catalog import schema
from gnomon.core.documents import Chunk, Document

if TYPE_CHECKING:
    from gnomon.collection.ingest.reader_thread import FilePart


_plain = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """A document with its chunks, ready to be written."""

    document: Document
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class DocumentContent:
    """What makes a document another one: the digest of its title and text, its metadata as JSON, its type."""

    digest: str
    metadata: str
    media_type: str


@dataclass(frozen=True, slots=True)
class PlannedDocument:
    """A document as it would stand now: of the catalog (its row's id), or still to be put in."""

    source_id: int | None
    content: DocumentContent
    row_id: int | None = None
    prepared: ChunkedDocument | None = None


class BatchPlan:
    """What a batch does to the documents that the catalog has. `stored` are all that it could touch.

    `dropped`: row ids of documents to take out. `came` and `went`: documents put in, and chunks of those that
    a later one of the batch replaced.
    """

    def __init__(self, stored: Iterable[Any]) -> None:
        self.dropped: list[int] = []
        self.came = self.added = self.went = 0
        self._held: dict[str, PlannedDocument] = {}
        self._owned: dict[int | None, dict[str, None]] = {}
        for row in stored:
            content = DocumentContent(row.content_hash, row.metadata, row.media_type)
            self._hold(row.key, PlannedDocument(row.source_id, content, row_id=row.id))

    def free_key(self, key: str, other: str, source_id: int) -> str:
        """A document's id, or the other one where another file, or a hand, has put that id in."""
        owner = self._held.get(key)
        return key if owner is None or owner.source_id == source_id else other

    def put(self, key: str, source_id: int | None, prepared: ChunkedDocument) -> None:
        """Put a document in. One that is there unchanged stays, any other of that id goes."""
        document = prepared.document
        metadata: Mapping[str, Any] = document.metadata
        content = DocumentContent(document.content_hash, _plain(dict(metadata)), document.media_type)
        old = self._held.get(key)
        if old is not None:
            if old.content == content:
                return
            self._take_out(key)
        self._hold(key, PlannedDocument(source_id, content, prepared=prepared))
        self.came += 1
        self.added += len(prepared.chunks)

    def keep_only(self, source_id: int, keys: Keys[str]) -> None:
        """Take out the file's documents that are not among `keys`."""
        for key in [key for key in self._owned.get(source_id, ()) if key not in keys]:
            self._take_out(key)

    def new(self) -> Iterator[tuple[str, PlannedDocument, ChunkedDocument]]:
        """The documents to put in, in the order in which they came."""
        for key, held in self._held.items():
            if held.prepared is not None:
                yield key, held, held.prepared

    def _hold(self, key: str, held: PlannedDocument) -> None:
        self._held[key] = held
        self._owned.setdefault(held.source_id, {})[key] = None

    def _take_out(self, key: str) -> None:
        old = self._held.pop(key)
        del self._owned[old.source_id][key]
        if old.row_id is not None:
            self.dropped.append(old.row_id)
        elif old.prepared is not None:
            self.went += len(old.prepared.chunks)


_BLOCK = 500  # values in one IN list: SQLite's oldest limit is 999
_heading = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it stood when it was read. Size in bytes, `sha256` over its bytes."""

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class CatalogChange:
    """What a write did."""

    documents: int = 0
    added: int = 0
    removed: int = 0

    def __add__(self, other: CatalogChange) -> CatalogChange:
        return CatalogChange(self.documents + other.documents, self.added + other.added, self.removed + other.removed)


def write_parts(
    connection: Connection, chunking_id: int, parts: Sequence[FilePart], written: Mapping[str, Keys[str]]
) -> tuple[CatalogChange, dict[str, set[str]]]:
    """Put parts of files in, and say under which ids; a file's last part takes out what it has no more.

    `written` are the ids of earlier parts by path. A file counts as written whole with its last part.
    """
    _touch_sources(connection, [part.source for part in parts if part.unchanged])
    parts = [part for part in parts if not part.unchanged]
    ids, known = _hold_sources(connection, parts)
    ends = [ids[part.source.path] for part in parts if part.last and part.source.path in known]
    names = [name for part in parts for p in part.documents for name in _names(p, part.source)]
    plan = BatchPlan(_documents(connection, names, ends))
    keys: dict[str, set[str]] = {}
    for part in parts:
        source_id = ids[part.source.path]
        own = keys.setdefault(part.source.path, set())
        for prepared in part.documents:
            key = plan.free_key(*_names(prepared, part.source), source_id)
            plan.put(key, source_id, prepared)
            own.add(key)
        if part.last:
            plan.keep_only(source_id, own | set(written.get(part.source.path, ())))
    return _apply(connection, chunking_id, plan), keys


def keep_roots(connection: Connection, labels: Mapping[str, str]) -> None:
    """Remember what the ids of documents below each indexed path begin with."""
    rows = [{"path": path, "label": label} for path, label in labels.items()]
    if rows:
        connection.execute(upsert(schema.roots).on_conflict_do_nothing(), rows)


def write_documents(connection: Connection, chunking_id: int, documents: Sequence[ChunkedDocument]) -> CatalogChange:
    """Put documents in that come from no file; one whose id is there already is replaced."""
    keys = [prepared.document.id for prepared in documents]
    plan = BatchPlan(_documents(connection, keys))
    for key, prepared in zip(keys, documents, strict=True):
        plan.put(key, None, prepared)
    return _apply(connection, chunking_id, plan)


def remove_sources(connection: Connection, paths: Iterable[str], counted: int | None = None) -> CatalogChange:
    """Take files that are gone out, with their documents and chunks; those of one chunking are counted."""
    source, document = schema.sources.c, schema.documents.c
    ids = [row.id for row in _found(connection, (source.id,), source.path, list(paths))]
    change = _drop(connection, [row.id for row in _found(connection, (document.id,), document.source_id, ids)], counted)
    for block in _blocks(ids):
        connection.execute(delete(schema.sources).where(source.id.in_(block)))
    return change


def remove_documents(connection: Connection, keys: Iterable[str], counted: int | None = None) -> CatalogChange:
    """Take documents out by id; chunks of one chunking are counted.

    Their file, if any, is forgotten when nothing of it is left.
    """
    source, document = schema.sources.c, schema.documents.c
    rows = list(_found(connection, (document.id, document.source_id), document.key, list(dict.fromkeys(keys))))
    change = _drop(connection, [row.id for row in rows], counted)
    left = exists(select(literal(1)).where(document.source_id == source.id).correlate(schema.sources))
    for block in _blocks(list({row.source_id for row in rows} - {None})):
        connection.execute(delete(schema.sources).where(source.id.in_(block), not_(left)))
    return change


def add_chunks(connection: Connection, chunking_id: int, chunks: Mapping[int, Sequence[Chunk]]) -> int:
    """Put chunks in of documents (by row id) that have none of this chunking. Returns how many."""
    rows = [_chunk_row(of, chunking_id, chunk) for of, each in chunks.items() for chunk in each]
    if rows:
        before = _last_id(connection, schema.chunks)
        connection.execute(insert(schema.chunks), rows)
        _journal(connection, "+", schema.chunks.c.id > before)
    return len(rows)


def drop_chunks(connection: Connection, ids: Sequence[int]) -> None:
    """Delete chunks of versions that are given up, and say so in the journal. Their documents stay."""
    for block in _blocks(ids):
        _journal(connection, "-", schema.chunks.c.id.in_(block))
        connection.execute(delete(schema.chunks).where(schema.chunks.c.id.in_(block)))


def _touch_sources(connection: Connection, sources: Sequence[SourceFile]) -> None:
    """Remember the new sizes and times of files whose content is unchanged."""
    known = update(schema.sources).where(schema.sources.c.path == bindparam("of"))
    rows = [{"of": source.path, "size": source.size, "mtime_ns": source.mtime_ns} for source in sources]
    if rows:
        connection.execute(known.values(size=bindparam("size"), mtime_ns=bindparam("mtime_ns")), rows)


def _hold_sources(connection: Connection, parts: Sequence[FilePart]) -> tuple[dict[str, int], set[str]]:
    """The row ids of files by path, new ones made; and the paths that were there before."""
    source = schema.sources.c
    paths = list(dict.fromkeys(part.source.path for part in parts))
    known = {row.path for row in _found(connection, (source.path,), source.path, paths)}
    rows = [{**asdict(part.source), **({} if part.last else {"sha256": ""})} for part in parts]
    if rows:
        new = upsert(schema.sources)
        now = {name: new.excluded[name] for name in ("size", "mtime_ns", "sha256")}
        connection.execute(new.on_conflict_do_update(index_elements=[source.path], set_=now), rows)
    ids = {row.path: row.id for row in _found(connection, (source.path, source.id), source.path, paths)}
    return ids, known


def _names(prepared: ChunkedDocument, source: SourceFile) -> tuple[str, str]:
    """The id that a file's document is to have, and the one it gets where that is taken."""
    return prepared.document.id, f"{source.path}#{prepared.document.id}"


def _documents(connection: Connection, keys: Sequence[str], sources: Sequence[int] = ()) -> list[Any]:
    """What a plan needs to know of the documents of these ids, and of all those of these files."""
    c = schema.documents.c
    columns = (c.id, c.key, c.source_id, c.content_hash, c.metadata, c.media_type)
    rows = list(_found(connection, columns, c.key, list(dict.fromkeys(keys))))
    return rows + list(_found(connection, columns, c.source_id, sources))


def _apply(connection: Connection, chunking_id: int, plan: BatchPlan) -> CatalogChange:
    """Take out and put in what a plan says, and say so in the journal."""
    gone = _drop(connection, plan.dropped, chunking_id)
    documents: list[dict[str, Any]] = []
    chunks: list[dict[str, Any]] = []
    # Only this transaction writes, so the ids that come next are known.
    first, before = _last_id(connection, schema.documents) + 1, _last_id(connection, schema.chunks)
    for row_id, (key, held, prepared) in enumerate(plan.new(), first):
        documents.append(_document_row(row_id, key, held, prepared.document))
        chunks.extend(_chunk_row(row_id, chunking_id, chunk) for chunk in prepared.chunks)
    if documents:
        connection.execute(insert(schema.documents), documents)
    if chunks:
        connection.execute(insert(schema.chunks), chunks)
        _journal(connection, "+", schema.chunks.c.id > before)
    return CatalogChange(plan.came, plan.added, gone.removed + plan.went)


def _last_id(connection: Connection, of: Table) -> int:
    """The highest id that a table ever gave out."""
    seq: ColumnElement[int] = column("seq")
    given = select(seq).select_from(table("sqlite_sequence")).where(column("name") == of.name)
    return int(connection.execute(given).scalar_one_or_none() or 0)


def _document_row(row_id: int, key: str, held: PlannedDocument, document: Document) -> dict[str, Any]:
    return {
        "id": row_id,
        "key": key,
        "source_id": held.source_id,
        "title": document.title,
        "source": document.source,
        "media_type": held.content.media_type,
        "metadata": held.content.metadata,
        "content_hash": held.content.digest,
        "characters": len(document.text),
        "body": zlib.compress(document.text.encode(), 1),
    }


def _chunk_row(document_id: int, chunking_id: int, chunk: Chunk) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "chunking_id": chunking_id,
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "tokens": chunk.tokens,
        "heading": _heading(chunk.heading),
        "text_hash": chunk.text_hash,
    }


def _drop(connection: Connection, document_ids: Sequence[int], counted: int | None) -> CatalogChange:
    """Delete documents and their chunks of all chunkings, and say so in the journal.

    What is told is the number of chunks of one chunking: those that a version has.
    """
    chunk, removed = schema.chunks.c, 0
    for block in _blocks(document_ids):
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


def _found(
    connection: Connection, columns: Sequence[Any], among: ColumnElement[Any], values: Sequence[Any]
) -> Iterator[Any]:
    """Rows of the columns' table whose column `among` has one of the values."""
    for block in _blocks(values):
        yield from connection.execute(select(*columns).where(among.in_(block)))


def _blocks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(values), _BLOCK):
        yield values[at : at + _BLOCK]
