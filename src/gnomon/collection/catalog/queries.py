"""Reads of the catalog: the journal, chunks with their texts and vectors, documents, files.

The catalog keeps a chunk's text, and a hash of what was embedded: the text after a prefix of title and headings,
shortened to what fitted the chunk. `chunks_of` recovers that prefix, one of a few dozen candidates, by the hash,
so that another model can embed chunks whichever chunker made them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, exists, func, not_, or_, select

from gnomon.collection.catalog import schema, vector_cache
from gnomon.collection.catalog.chunk_texts import BODY, texts_of_rows, with_texts
from gnomon.collection.catalog.dialect import plain
from gnomon.collection.catalog.versions import SpaceModel
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.documents import Chunk, Document, with_title_as_text
from gnomon.core.errors import CollectionDamaged
from gnomon.core.locations import Locations
from gnomon.core.paths import path_text
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.core.vectors import Vectors
from gnomon.text.chunk import LONGEST_TITLE
from gnomon.text.discover import stored_paths

# What every search reads is built once: building and hashing a statement costs more than executing it.
_HEAD = select(schema.journal.c.seq, schema.journal.c.nonce).order_by(schema.journal.c.seq.desc()).limit(1)
# Every search begins with this: as plain text it takes a quarter less time than as an expression.
_OWN_HEAD = (
    "SELECT seq, nonce, (SELECT id FROM versions WHERE state = 'live') FROM journal "
    "WHERE chunking_id = ? ORDER BY seq DESC LIMIT 1"
)
_OF_TEXTS = (
    "SELECT c.text_hash, c.id, c.document_id, d.key FROM chunks c JOIN documents d ON d.id = c.document_id "
    "WHERE c.text_hash IN ({marks}) AND c.chunking_id = ? ORDER BY c.text_hash, c.id LIMIT 1000"
)
_SHOWN = (
    select(
        schema.chunks.c.id,
        schema.chunks.c.document_id,
        schema.chunks.c.chunking_id,
        schema.chunks.c.text_hash,
        schema.documents.c.key,
        schema.documents.c.title,
        schema.documents.c.source,
        schema.documents.c.metadata,
        schema.chunks.c.heading,
        schema.chunks.c.text,
        schema.chunks.c.text_hash,
        schema.chunks.c.start,
        schema.chunks.c.end,
        schema.chunks.c.location,
        BODY,
    )
    .join_from(schema.chunks, schema.documents, schema.documents.c.id == schema.chunks.c.document_id)
    .where(schema.chunks.c.id.in_(bindparam("ids", expanding=True)))
)


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """A position in the journal. Two histories that reach the same `seq` differ in `nonce`."""

    seq: int
    nonce: int


@dataclass(frozen=True, slots=True)
class JournalDelta:
    """The net effect of a stretch of the journal: chunk ids to take out, then chunk ids to put in."""

    removed: Array
    added: Array


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The last journal entry of a chunking, and the version that is live at the same moment."""

    seq: int
    nonce: int
    live: int


def head(connection: Connection) -> JournalPosition:
    """The journal's end; (0, 0) for an empty one."""
    row = connection.execute(_HEAD).first()
    return JournalPosition(row.seq, row.nonce) if row else JournalPosition(0, 0)


def chunking_head(connection: Connection, chunking_id: int) -> JournalHead:
    """The last journal entry of a chunking, whatever was written for others, and the live version."""
    row = connection.exec_driver_sql(plain(connection, _OWN_HEAD), (chunking_id,)).first()
    if row is None:
        table = schema.versions.c
        return JournalHead(0, 0, int(connection.execute(select(table.id).where(table.state == "live")).scalar_one()))
    return JournalHead(*row)


def nonce_at(connection: Connection, seq: int, chunking_id: int | None = None) -> int | None:
    """The nonce of a journal entry, None where there is none (of that chunking); 0 before the first."""
    if seq == 0:
        return 0
    journal = schema.journal.c
    wanted = select(journal.nonce).where(journal.seq == seq)
    if chunking_id is not None:
        wanted = wanted.where(journal.chunking_id == chunking_id)
    found = connection.execute(wanted).first()
    return None if found is None else int(found.nonce)


def delta(connection: Connection, chunking_id: int, after: int, *, upto: int) -> JournalDelta:
    """What happened to the chunks of a chunking after one journal position, up to and including another.

    A chunk that was added and removed in between is among the removed only: ids are never used twice.
    """
    journal = schema.journal.c
    inside = and_(journal.seq > after, journal.seq <= upto, journal.chunking_id == chunking_id)
    rows = connection.execute(select(journal.op, journal.chunk_id).where(inside).order_by(journal.seq))
    added: dict[int, None] = {}
    removed: dict[int, None] = {}
    for op, chunk_id in rows:
        if op == "+":
            added[chunk_id] = None
        else:
            added.pop(chunk_id, None)
            removed[chunk_id] = None
    return JournalDelta(_ids(list(removed)), _ids(list(added)))


def all_ids(connection: Connection, chunking_id: int) -> Array:
    """Every chunk id of a chunking, rising."""
    chunk = schema.chunks.c
    rows = connection.execute(select(chunk.id).where(chunk.chunking_id == chunking_id).order_by(chunk.id))
    return _ids([row[0] for row in rows])


def vectors_of(connection: Connection, space_id: int, space: Space, *, ids: Array) -> tuple[Array, Vectors]:
    """The chunk ids (rising) and their cached document vectors.

    Left out are chunks whose vector is missing, damaged, or none of the space: NaN, infinite, of another length,
    or zero where angles are compared.
    """
    found: list[int] = []
    data: list[Array] = []
    # Two queries, not a join: for 100 ids and more SQLite's planner begins a join at the vectors, and scans all of
    # them for every block.
    for pairs in ids_and_hashes(connection, ids):
        rows = vector_cache.get(connection, space_id, "document", hashes=list(dict.fromkeys(key for _, key in pairs)))
        usable = vector_cache.usable(rows, space)
        found.extend(chunk_id for chunk_id, key in pairs if key in usable)
        data.extend(usable[key] for _, key in pairs if key in usable)
    return _ids(found), Vectors.of_items(data, space)


def ids_and_hashes(connection: Connection, ids: Array) -> Iterator[list[tuple[int, bytes]]]:
    """Chunk ids, rising, with the hashes of their texts: at once where they are most of those between the ends."""
    chunk = schema.chunks.c
    wanted = select(chunk.id, chunk.text_hash).order_by(chunk.id)
    if len(ids) > schema.IN_VALUES and ids.max() - ids.min() < 2 * len(ids):
        few = set(ids.tolist())
        between = wanted.where(chunk.id.between(int(ids.min()), int(ids.max())))
        yield [(number, key) for number, key in connection.execute(between).all() if number in few]
        return
    for block in _blocks(ids):
        yield [(number, key) for number, key in connection.execute(wanted.where(chunk.id.in_(block))).all()]


def sparse_vectors_of(connection: Connection, sparse: SpaceModel, *, ids: Array) -> tuple[Array, SparseVectors]:
    """The chunk ids (rising) and their cached sparse document vectors; chunks whose vector is damaged are left out."""
    chunk = schema.chunks.c
    found: list[int] = []
    parts = [SparseVectors.of([], sparse.space)]
    for block in _blocks(ids):
        wanted = select(chunk.id, chunk.text_hash).where(chunk.id.in_(block)).order_by(chunk.id)
        pairs = [(row.id, row.text_hash) for row in connection.execute(wanted)]
        keys = list(dict.fromkeys(key for _, key in pairs))
        rows = vector_cache.get_sparse(connection, sparse.space_id, "document", hashes=keys)
        usable = [(chunk_id, rows[key]) for chunk_id, key in pairs if key in rows]
        found.extend(chunk_id for chunk_id, _ in usable)
        parts.append(SparseVectors.of([row for _, row in usable], sparse.space))
    return _ids(found), SparseVectors.concatenate(parts)


def texts_of(connection: Connection, ids: Array) -> tuple[Array, list[str], list[str]]:
    """The chunk ids (rising), their titles with headings, and their texts."""
    chunk, document = schema.chunks.c, schema.documents.c
    found, titles, texts = [], [], []
    for block in _blocks(ids):
        rows = connection.execute(
            select(chunk.id, document.title, chunk.heading, chunk.text, chunk.start, chunk.end, BODY)
            .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
            .where(chunk.id.in_(block))
            .order_by(chunk.id)
        ).all()
        found += [row.id for row in rows]
        titles += [_with_headings(row.title, row.heading) for row in rows]
        texts += [text or "" for text in texts_of_rows(rows)]  # of a damaged document all but the words are found
    return _ids(found), titles, texts


def chunk_rows(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
    """What a hit contains of each chunk, by chunk id, with its text's hash."""
    rows: dict[int, Any] = {}
    for block in _blocks(np.asarray(ids, dtype=np.int64)):
        rows.update({row.id: row for row in with_texts(connection.execute(_SHOWN, {"ids": block}))})
    return rows


def document_ids(connection: Connection, ids: Array) -> dict[int, int]:
    """Each chunk's document, by chunk id."""
    return _of_chunks(connection, schema.chunks.c.document_id, ids)


def text_hashes(connection: Connection, ids: Array) -> dict[int, bytes]:
    """The hash of what was embedded of each chunk, by chunk id."""
    return _of_chunks(connection, schema.chunks.c.text_hash, ids)


def _of_chunks(connection: Connection, column: ColumnElement[Any], ids: Array) -> dict[int, Any]:
    """A column's values by chunk id, of the chunks that are there."""
    found: dict[int, Any] = {}
    for block in _blocks(ids):
        rows = connection.execute(select(schema.chunks.c.id, column).where(schema.chunks.c.id.in_(block)))
        found.update((row[0], row[1]) for row in rows)
    return found


def chunks_of_texts(connection: Connection, chunking_id: int, hashes: Sequence[bytes]) -> list[Any]:
    """The first chunks of a chunking that have these texts, at most 1,000: text_hash, id, document_id, key."""
    found: list[Any] = []
    for block in in_blocks(hashes, schema.IN_VALUES):
        # Plain text, as of every search: an expression takes longer to build than this to execute.
        wanted = plain(connection, _OF_TEXTS.format(marks=", ".join("?" * len(block))))
        found += connection.exec_driver_sql(wanted, (*block, chunking_id)).all()
    return found


def documents(connection: Connection, keys: Sequence[str]) -> dict[str, Document]:
    """The documents of these ids, by id; those that are not there are left out."""
    table = schema.documents
    found: dict[str, Document] = {}
    for block in in_blocks(list(dict.fromkeys(keys)), schema.IN_VALUES):
        rows = connection.execute(select(table).where(table.c.key.in_(block)))
        found.update({row.key: document_of(row) for row in rows})
    return found


def document_of(row: Any) -> Document:
    """The document of a row of the documents' table. Raises CollectionDamaged where it is not what was added."""
    document = Document(
        id=row.key,
        text=zlib.decompress(row.body).decode(),
        title=row.title,
        source=row.source,
        media_type=row.media_type,
        metadata=json.loads(row.metadata),
        locations=Locations.parse(row.locations),
    )
    if document.content_hash != row.content_hash:
        raise CollectionDamaged(
            f"document {row.key!r}: its title or text is not what was added",
            expected="a text that belongs to its hash",
            hint="add it again, or remove it; gnomon doctor COLLECTION lists all such documents",
        )
    return with_title_as_text(document)  # gnomon 0.1 kept a title alone without a text


def stored_sources(connection: Connection) -> dict[str, Any]:
    """Every file in the catalog, by path: size, mtime_ns, ctime_ns, sha256 ("" where it is not completely written)."""
    table = schema.sources.c
    columns = (table.path, table.size, table.mtime_ns, table.ctime_ns, table.sha256)
    return {row.path: row for row in connection.execute(select(*columns))}


def token_sum(connection: Connection, chunking_id: int) -> int:
    """The number of tokens in all chunks."""
    total = select(func.coalesce(func.sum(schema.chunks.c.tokens), 0))
    return int(connection.execute(total.where(schema.chunks.c.chunking_id == chunking_id)).scalar_one())


def _with_headings(title: str, heading: str) -> str:
    path = [part for part in json.loads(heading) if part != title]
    return " ".join([title, *path]).strip()


def _ids(values: Sequence[int]) -> Array:
    return np.array(values, dtype=np.int64)


def _blocks(ids: Array) -> Iterator[list[int]]:
    """Rising ids, as many at a time as one statement takes."""
    yield from in_blocks(np.sort(ids).tolist(), schema.IN_VALUES)


def count(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    """How many rows of a table meet the conditions."""
    return int(connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one())


def count_unchunked(connection: Connection, chunking_id: int) -> int:
    """How many documents have no chunk of a chunking."""
    chunk, document = schema.chunks.c, schema.documents.c
    of = select(chunk.id).where(chunk.document_id == document.id, chunk.chunking_id == chunking_id)
    return count(connection, schema.documents, not_(exists(of)))


def root_labels(connection: Connection) -> dict[str, str]:
    """The label that the ids of documents below each indexed path begin with, by path."""
    return {row.path: row.label for row in connection.execute(select(schema.roots))}


def document_keys(connection: Connection) -> list[str]:
    """The ids of all documents, in the order in which they were last written."""
    keys = list(connection.execute(select(schema.documents.c.key).order_by(schema.documents.c.id)).scalars())
    if None in keys:
        raise CollectionDamaged(
            f"{keys.count(None):,} documents have lost their ids",
            expected="an intact catalog",
            hint="restore collection.db from a backup; gnomon doctor COLLECTION says what else is wrong",
        )
    return keys


def document_page(
    connection: Connection, after: int, limit: int, *, condition: ColumnElement[bool] | None = None
) -> list[tuple[int, str]]:
    """Row ids and ids of the next documents after a row id, rising, that meet a condition."""
    document = schema.documents.c
    wanted = select(document.id, document.key).where(document.id > after).order_by(document.id).limit(limit)
    rows = connection.execute(wanted if condition is None else wanted.where(condition))
    return [(row.id, row.key) for row in rows]


def chunks_of_document(connection: Connection, key: str, chunking_id: int) -> list[int]:
    """The ids of a document's chunks in a chunking, in their order in the text."""
    chunk, document = schema.chunks.c, schema.documents.c
    of = select(document.id).where(document.key == key).scalar_subquery()
    wanted = select(chunk.id).where(chunk.document_id == of, chunk.chunking_id == chunking_id).order_by(chunk.id)
    return list(connection.execute(wanted).scalars())


def paths_of(connection: Connection, source: str | Path) -> tuple[str, ...]:
    """The paths that a file or folder, which may be gone, has in the catalog: as it is given, and by known roots."""
    path = Path(source).expanduser()
    return tuple(dict.fromkeys(map(path_text, stored_paths(path, root_labels(connection)))))


def at_or_below(column: ColumnElement[str], paths: Sequence[str]) -> ColumnElement[bool]:
    """True for the rows whose path is one of these, or lies below one."""
    stems = [path.rstrip("/") + "/" for path in paths]
    return or_(column.in_(paths), *(func.substr(column, 1, len(stem)) == stem for stem in stems))


def keys_of_source(connection: Connection, source: str | Path) -> list[str]:
    """The ids of the documents of a file, of the files below a folder, or that were added with this very source."""
    document, file = schema.documents.c, schema.sources.c
    files = select(file.id).where(at_or_below(file.path, paths_of(connection, source)))
    by_hand = and_(document.source_id.is_(None), document.source == str(source))
    wanted = select(document.key).where(or_(document.source_id.in_(files), by_hand)).order_by(document.id)
    return list(connection.execute(wanted).scalars())


def chunks_of(connection: Connection, ids: Sequence[int]) -> list[Chunk]:
    """The chunks of these ids (rising) as the chunker made them, each with the text that is embedded.

    `document_id` is the document's id (text). Raises CollectionDamaged where a chunk's text does
    not belong to its hash.
    """
    chunk, document = schema.chunks.c, schema.documents.c
    found = []
    for block in in_blocks(ids, schema.IN_VALUES):
        rows = connection.execute(
            select(schema.chunks, document.key, document.title, BODY)
            .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
            .where(chunk.id.in_(block))
            .order_by(chunk.id)
        )
        found += [_chunk(row) for row in with_texts(rows)]
    return found


def embedded_text(row: Any) -> str | None:
    """What was embedded of a row's chunk; None where title, headings, text or place are not what they were."""
    possible = embedded_texts(row.title, tuple(json.loads(row.heading)), row.text)
    if row.end - row.start != len(row.text):
        return None
    return next((text for text in possible if vector_cache.hash_of(text) == row.text_hash), None)


def _chunk(row: Any) -> Chunk:
    text = embedded_text(row)
    if text is not None:
        heading = tuple(json.loads(row.heading))
        return Chunk(row.key, row.ordinal, row.start, row.end, row.text, text, row.tokens, heading)
    raise CollectionDamaged(
        f"chunk {row.id} of {row.key!r}: its text is not the one that was embedded",
        expected="a text that belongs to its hash",
        hint="take the document out and put it in again, or make a version with chunks of its own: "
        "gnomon migrate --chunk-tokens N",
    )


def embedded_texts(title: str, heading: Sequence[str], text: str) -> Iterator[str]:
    """All texts that can have been embedded of a chunk, the likeliest first."""
    title = " ".join(title[:LONGEST_TITLE].split())
    lines: dict[str, None] = {"": None}
    for upto in range(len(heading), -1, -1):
        above = [words for words in heading[:upto] if words != title]
        for parts in ([title, *above], above) if title else (above,):
            lines.update({" > ".join(parts[at:]): None for at in range(len(parts))})
    for line in lines:
        yield f"{line}\n{text}" if line else text
    for line in lines:
        words = line.split(" ")
        for count in range(len(words) - 1, 0, -1):
            yield f"{' '.join(words[:count])}\n{text}"
