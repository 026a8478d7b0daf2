"""Documents and the passages cut from them: do they belong together, is anything lacking, what is twice."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from gnomon.collection.catalog import mutations, schema, vector_cache
from gnomon.collection.catalog.queries import embedded_texts
from gnomon.collection.catalog.versions import Version
from gnomon.collection.ingest.writer import embed_slices
from gnomon.core.documents import Document
from gnomon.doctor.context import SHOWN, Look, blocks, excerpt, named_chunks, names
from gnomon.doctor.report import Finding, Found, Severity

_DOCUMENTS = 200


@dataclass
class _Seen:
    """What a pass over all documents found: ids of documents, and of passages by chunking."""

    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    uncut: dict[int, list[int]] = field(default_factory=dict)
    misplaced: dict[int, list[int]] = field(default_factory=dict)


def texts(look: Look) -> Iterator[Found]:
    """Every document is read and held against its hash, every passage against its place in its document."""
    seen, after = _Seen(), 0
    wanted: dict[int, int] = {}
    for version, standing in look.kept:
        wanted[version.chunking_id] = max(wanted.get(version.chunking_id, 0), standing.upto)
    table = schema.documents
    while True:
        with look.catalog.read() as connection:
            some = select(table).where(table.c.id > after).order_by(table.c.id).limit(_DOCUMENTS)
            rows = connection.execute(some).all()
            if not rows:
                break
            _see(connection, rows, wanted, seen)
        after = rows[-1].id
    yield from _of_documents(seen)
    for chunking in wanted:
        yield from _of_chunks(look, chunking, seen)


def _see(connection: Connection, rows: Sequence[Any], wanted: dict[int, int], seen: _Seen) -> None:
    chunk = schema.chunks.c
    columns = (chunk.id, chunk.document_id, chunk.chunking_id, chunk.start, chunk.end, chunk.text)
    held: dict[tuple[int, int], list[Any]] = {}
    for block in blocks([row.id for row in rows]):
        of = select(*columns, chunk.heading, chunk.text_hash).where(chunk.document_id.in_(block))
        for each in connection.execute(of):
            held.setdefault((each.document_id, each.chunking_id), []).append(each)
    for row in rows:
        text = _text(row)
        if text is None:
            seen.unreadable.append(row.key)
            continue
        if Document(row.key, text, title=row.title).content_hash != row.content_hash:
            seen.changed.append(row.key)
        for chunking, upto in wanted.items():
            chunks = held.get((row.id, chunking), [])
            if not chunks and text.strip() and row.id <= upto:
                seen.uncut.setdefault(chunking, []).append(row.id)
            wrong = [each.id for each in chunks if not _belongs(each, row.title, text)]
            seen.misplaced.setdefault(chunking, []).extend(wrong)


def _text(row: Any) -> str | None:
    try:
        return zlib.decompress(row.body).decode()
    except (zlib.error, UnicodeDecodeError):
        return None


def _belongs(chunk: Any, title: str, text: str) -> bool:
    if chunk.text != text[chunk.start : chunk.end]:
        return False
    heading = tuple(json.loads(chunk.heading))
    could = embedded_texts(title, heading, chunk.text)
    return any(vector_cache.hash_of(each) == chunk.text_hash for each in could)


def _of_documents(seen: _Seen) -> Iterator[Found]:
    for keys, what, means in (
        (seen.unreadable, "documents cannot be read", "What the catalog keeps of their texts is damaged."),
        (
            seen.changed,
            "documents are not what they were when they were put in",
            "Their title or text does not have the hash that was taken of them.",
        ),
    ):
        if keys:
            advice = "put them in again: take them out by id, then add or index them"
            finding = Finding(
                "documents",
                "error",
                f"{len(keys):,} {what}",
                len(keys),
                0,
                means,
                advice,
                tuple(keys[:SHOWN]),
            )
            yield Found(finding)


def _of_chunks(look: Look, chunking: int, seen: _Seen) -> Iterator[Found]:
    own = [(version, standing) for version, standing in look.kept if version.chunking_id == chunking]
    encoder = next((look.encoders[v.space_id] for v, _ in own if v.space_id in look.encoders), None)
    can = encoder is not None
    advice = "have them cut again: --fix" if can else "bring their model back, then --fix cuts them again"
    uncut, misplaced = seen.uncut.get(chunking, []), seen.misplaced.get(chunking, [])
    document, chunk = schema.documents.c, schema.chunks.c
    with look.catalog.read() as connection:
        keys = select(document.key).where(document.id.in_(uncut[:SHOWN]))
        lost = tuple(connection.execute(keys).scalars())
        some = named_chunks(connection, misplaced)
        of: set[int] = set()
        for block in blocks(misplaced):
            which = select(chunk.document_id).where(chunk.id.in_(block))
            of.update(connection.execute(which).scalars())
    if uncut:
        finding = Finding(
            "uncut",
            "error",
            f"{len(uncut):,} documents with text have no passage in {names(own)}",
            len(uncut),
            0,
            "No search finds them.",
            advice,
            lost,
            can,
        )
        yield Found(finding, partial(_cut_again, look, own[0][0], uncut) if can else None)
    if misplaced:
        finding = Finding(
            "misplaced",
            "error",
            f"{len(misplaced):,} passages of {names(own)} are not what stands at their place in the document",
            len(misplaced),
            0,
            "What a search shows is not what the document says, or not what was embedded.",
            advice,
            some,
            can,
        )
        yield Found(finding, partial(_cut_again, look, own[0][0], sorted(of)) if can else None)


def _cut_again(look: Look, version: Version, ids: list[int]) -> str:
    """Cut documents anew, embed what is lacking, and put the passages in place of those that are there."""
    target = look.kb.internals.serving.target(version.id)
    table, chunk = schema.documents, schema.chunks.c
    made = 0
    for block in blocks(ids, _DOCUMENTS):
        with look.catalog.read() as connection:
            rows = connection.execute(select(table).where(table.c.id.in_(block))).all()
        cut = {}
        for row in rows:
            text = _text(row)
            if text is not None:
                cut[row.id] = target.chunker.chunk(
                    Document(row.key, text, row.title, row.source, row.media_type, json.loads(row.metadata))
                )
        for _ in embed_slices(look.catalog, target, [each for some in cut.values() for each in some]):
            pass
        with look.catalog.write() as connection:
            there = set(connection.execute(select(table.c.id).where(table.c.id.in_(list(cut)))).scalars())
            of = (chunk.document_id.in_(there), chunk.chunking_id == version.chunking_id)
            old = list(connection.execute(select(chunk.id).where(*of)).scalars())
            mutations.drop_chunks(connection, old)
            made += mutations.add_chunks(
                connection, version.chunking_id, {at: some for at, some in cut.items() if at in there}
            )
    return f"cut {len(ids):,} documents again for {version.name}: {made:,} passages"


def duplicates(look: Look) -> Iterator[Found]:
    """Passages of the live version whose text another one has as well."""
    live = look.kb.version
    chunk = schema.chunks.c
    with look.catalog.read() as connection:
        of = chunk.chunking_id == live.chunking_id
        twice = (
            select(chunk.text_hash, func.count().label("n"), func.min(chunk.id).label("first"))
            .where(of)
            .group_by(chunk.text_hash)
            .having(func.count() > 1)
            .order_by(func.count().desc(), func.min(chunk.id))
        )
        rows = connection.execute(twice).all()
        total = connection.execute(select(func.count()).select_from(schema.chunks).where(of)).scalar_one()
        examples = []
        for row in rows[:SHOWN]:
            text = connection.execute(select(chunk.text).where(chunk.id == row.first)).scalar_one()
            examples.append(f"{row.n} times: {excerpt(text)}")
    extra = sum(row.n - 1 for row in rows)
    if extra:
        yield Found(
            Finding(
                "equal-texts",
                "note",
                f"{extra:,} of {total:,} passages have the text of another one",
                extra,
                total,
                "They are embedded once, but each takes a place among the results.",
                "leave copies out (--exclude), or ask --by document",
                tuple(examples),
            )
        )


def sources(look: Look) -> Iterator[Found]:
    """Files that are gone or have changed since they were read, and those that were read in part only."""
    table = schema.sources.c
    with look.catalog.read() as connection:
        rows = connection.execute(select(table.path, table.size, table.mtime_ns, table.sha256)).all()
    stands: dict[str, list[str]] = {"gone": [], "changed": [], "part": []}
    for row in rows:
        if stand := _stand(row):
            stands[stand].append(row.path)
    told: tuple[tuple[str, Severity, str, str], ...] = (
        ("gone", "note", "are not there any more", "They stay to be found until the next gnomon index."),
        ("changed", "note", "have changed since they were read", "Searches find what they said before."),
        ("part", "warning", "were read in part only", "An index run was broken off; the rest is lacking."),
    )
    for key, severity, what, means in told:
        paths = stands[key]
        if paths:
            yield Found(
                Finding(
                    f"files-{key}",
                    severity,
                    f"{len(paths):,} of {len(rows):,} files {what}",
                    len(paths),
                    len(rows),
                    means,
                    "gnomon index brings the collection in line with the files",
                    tuple(_places(paths)),
                )
            )


def _stand(row: Any) -> str:
    if not row.sha256:
        return "part"
    try:
        found = Path(row.path).stat()
    except OSError:
        return "gone"
    return "" if (found.st_size, found.st_mtime_ns) == (row.size, row.mtime_ns) else "changed"


def _places(paths: list[str]) -> list[str]:
    """Three files; where there are many of one folder, the folder."""
    if len(paths) <= SHOWN:
        return paths
    folders = Counter(str(Path(path).parent) for path in paths)
    return [f"{count:,} in {folder}" for folder, count in folders.most_common(SHOWN)]
