"""Checks of documents and their passages: damage, missing passages, duplicates, changed files."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, func, select

from gnomon.collection.catalog import mutations, queries, schema, vector_cache
from gnomon.collection.catalog.queries import embedded_texts
from gnomon.collection.catalog.versions import Version
from gnomon.collection.ingest.writer import embed_slices
from gnomon.core.batching import in_blocks
from gnomon.core.documents import Document, with_title_as_text
from gnomon.core.paths import path_of, remote_scheme
from gnomon.core.token_counting import TokenCounting
from gnomon.doctor.context import BLOCK, MAX_EXAMPLES, CheckContext, describe_chunks, excerpt, version_names
from gnomon.doctor.report import Diagnosis, DoctorFinding, Severity
from gnomon.text.quality import Kind, QualityRemark, text_faults
from gnomon.text.token_counts import TokenCounter

_DOCUMENTS_PER_BLOCK = 200
_FAULTS: dict[Kind, tuple[str, str]] = {
    "control characters": ("hold control characters or what is no text", "Searches by their words fail."),
    "mojibake": ("look as if read in a wrong encoding", "Searches by their words fail."),
    "unknown tokens": (
        "are of characters that the model does not know",
        "Their vectors are alike, whatever they say; searches by keywords find them.",
    ),
}


@dataclass
class _DocumentScan:
    """Faults that a pass over all documents found: documents, and passages by chunking.

    `unknown_share` gives the share of a text that the live version's model does not know.
    """

    unknown_share: Callable[[str], float] | None = None

    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    textless: list[str] = field(default_factory=list)
    faults: dict[Kind, list[str]] = field(default_factory=dict)
    unchunked: dict[int, list[int]] = field(default_factory=dict)
    misplaced: dict[int, list[int]] = field(default_factory=dict)


def texts(context: CheckContext) -> Iterator[Diagnosis]:
    """Compares every document with its hash, and every passage with its place in its document."""
    scan, after = _DocumentScan(_unknown_share(context)), 0
    wanted: dict[int, int] = {}
    for version, state in context.versions:
        wanted[version.chunking_id] = max(wanted.get(version.chunking_id, 0), state.upto)
    table = schema.documents
    while True:
        with context.catalog.read() as connection:
            some = select(table).where(table.c.id > after).order_by(table.c.id).limit(_DOCUMENTS_PER_BLOCK)
            rows = connection.execute(some).all()
            if not rows:
                break
            _scan_documents(connection, rows, wanted, scan=scan)
        after = rows[-1].id
    yield from _document_findings(scan)
    yield from _quality_findings(scan)
    for chunking in wanted:
        yield from _chunk_findings(context, chunking, scan)


def _scan_documents(
    connection: Connection, rows: Sequence[Any], wanted: dict[int, int], *, scan: _DocumentScan
) -> None:
    chunk = schema.chunks.c
    columns = (chunk.id, chunk.document_id, chunk.chunking_id, chunk.start, chunk.end, chunk.text)
    held: dict[tuple[int, int], list[Any]] = {}
    for block in in_blocks([row.id for row in rows], BLOCK):
        of = select(*columns, chunk.heading, chunk.text_hash).where(chunk.document_id.in_(block))
        for each in connection.execute(of):
            held.setdefault((each.document_id, each.chunking_id), []).append(each)
    for row in rows:
        text = _decompressed(row)
        if text is None:
            scan.unreadable.append(row.key)
            continue
        if Document(row.key, text, title=row.title).content_hash != row.content_hash:
            scan.changed.append(row.key)
        for fault in text_faults(text, scan.unknown_share):
            scan.faults.setdefault(fault.kind, []).append(row.key)
        text = with_title_as_text(Document(row.key, text, title=row.title)).text
        if not text.strip():
            scan.textless.append(row.key)
        for chunking, upto in wanted.items():
            chunks = held.get((row.id, chunking), [])
            if not chunks and text.strip() and row.id <= upto:
                scan.unchunked.setdefault(chunking, []).append(row.id)
            wrong = [each.id for each in chunks if not _belongs(each, row.title, text)]
            scan.misplaced.setdefault(chunking, []).extend(wrong)


def _unknown_share(context: CheckContext) -> Callable[[str], float] | None:
    """By the tokenizer of the live version's model; None where that is not loaded, or does not say how it counts."""
    encoder = context.encoders.get(context.kb.version.space_id)
    counting: TokenCounting | None = getattr(encoder, "token_counting", None)
    return None if counting is None else TokenCounter(counting).unknown_share


def _quality_findings(scan: _DocumentScan) -> Iterator[Diagnosis]:
    for kind, keys in scan.faults.items():
        message, explanation = _FAULTS[kind]
        yield Diagnosis(
            DoctorFinding(
                kind.replace(" ", "-"),
                "warning",
                message=f"{len(keys):,} documents {message}",
                count=len(keys),
                explanation=explanation,
                advice=QualityRemark(kind, "").hint,
                examples=tuple(keys[:MAX_EXAMPLES]),
            )
        )


def _decompressed(row: Any) -> str | None:
    try:
        return zlib.decompress(row.body).decode()
    except (zlib.error, UnicodeDecodeError):
        return None


def _belongs(chunk: Any, title: str, text: str) -> bool:
    """Whether a passage is the text at its place, and its hash is of what was embedded."""
    own = chunk.text or text[chunk.start : chunk.end]
    if own != text[chunk.start : chunk.end]:
        return False
    heading = tuple(json.loads(chunk.heading))
    possible = embedded_texts(title, heading, own)
    return any(vector_cache.hash_of(each) == chunk.text_hash for each in possible)


def _document_findings(scan: _DocumentScan) -> Iterator[Diagnosis]:
    for keys, message, explanation in (
        (scan.unreadable, "documents cannot be read", "Their compressed texts in the catalog are damaged."),
        (
            scan.changed,
            "documents are not what was added",
            "Their title or text does not have the hash that was stored with them.",
        ),
    ):
        if keys:
            advice = "remove them by id, then add or index them again"
            finding = DoctorFinding(
                "documents",
                "error",
                message=f"{len(keys):,} {message}",
                count=len(keys),
                explanation=explanation,
                advice=advice,
                examples=tuple(keys[:MAX_EXAMPLES]),
            )
            yield Diagnosis(finding)
    if scan.textless:
        yield Diagnosis(
            DoctorFinding(
                "no-passages",
                "note",
                message=f"{len(scan.textless):,} documents have neither text nor title",
                count=len(scan.textless),
                explanation="They have no passage, so no search finds them.",
                advice="look at where they come from, or take them out: gnomon remove COLLECTION ID",
                examples=tuple(scan.textless[:MAX_EXAMPLES]),
            )
        )


def _chunk_findings(context: CheckContext, chunking: int, scan: _DocumentScan) -> Iterator[Diagnosis]:
    own = [(version, state) for version, state in context.versions if version.chunking_id == chunking]
    encoder = next((context.encoders[v.space_id] for v, _ in own if v.space_id in context.encoders), None)
    can_fix = encoder is not None
    advice = "chunk them again: --fix" if can_fix else "bring their model back, then --fix chunks them again"
    unchunked, misplaced = scan.unchunked.get(chunking, []), scan.misplaced.get(chunking, [])
    document, chunk = schema.documents.c, schema.chunks.c
    with context.catalog.read() as connection:
        keys = select(document.key).where(document.id.in_(unchunked[:MAX_EXAMPLES]))
        lost = tuple(connection.execute(keys).scalars())
        some = describe_chunks(connection, misplaced)
        of: set[int] = set()
        for block in in_blocks(misplaced, BLOCK):
            which = select(chunk.document_id).where(chunk.id.in_(block))
            of.update(connection.execute(which).scalars())
    if unchunked:
        finding = DoctorFinding(
            "unchunked",
            "error",
            message=f"{len(unchunked):,} documents with text have no passage in {version_names(own)}",
            count=len(unchunked),
            explanation="No search finds them.",
            advice=advice,
            examples=lost,
            is_fixable=can_fix,
        )
        yield Diagnosis(finding, partial(_chunk_again, context, own[0][0], unchunked) if can_fix else None)
    if misplaced:
        finding = DoctorFinding(
            "misplaced",
            "error",
            message=f"{len(misplaced):,} passages of {version_names(own)} do not match the text at their place "
            "in the document",
            count=len(misplaced),
            explanation="Search results show something else than the document says, or than was embedded.",
            advice=advice,
            examples=some,
            is_fixable=can_fix,
        )
        yield Diagnosis(finding, partial(_chunk_again, context, own[0][0], sorted(of)) if can_fix else None)


def _chunk_again(context: CheckContext, version: Version, ids: list[int]) -> str:
    """Chunk documents again, embed what has no vector, and replace their passages."""
    target = context.kb.internals.serving.target(version.id)
    table, chunk = schema.documents, schema.chunks.c
    made = 0
    for block in in_blocks(ids, _DOCUMENTS_PER_BLOCK):
        with context.catalog.read() as connection:
            rows = connection.execute(select(table).where(table.c.id.in_(block))).all()
        chunked = {}
        for row in rows:
            text = _decompressed(row)
            if text is not None:
                document = Document(row.key, text, row.title, row.source, row.media_type, json.loads(row.metadata))
                chunked[row.id] = target.chunker.chunk(with_title_as_text(document))
        for _ in embed_slices(context.catalog, target, [each for some in chunked.values() for each in some]):
            pass
        with context.catalog.write() as connection:
            there = set(connection.execute(select(table.c.id).where(table.c.id.in_(list(chunked)))).scalars())
            of = (chunk.document_id.in_(there), chunk.chunking_id == version.chunking_id)
            old = list(connection.execute(select(chunk.id).where(*of)).scalars())
            mutations.drop_chunks(connection, old)
            made += mutations.add_chunks(
                connection, version.chunking_id, {at: some for at, some in chunked.items() if at in there}
            )
    return f"chunked {len(ids):,} documents again for {version.name}: {made:,} passages"


def duplicates(context: CheckContext) -> Iterator[Diagnosis]:
    """Passages of the live version with the text of another passage."""
    live = context.kb.version
    chunk = schema.chunks.c
    with context.catalog.read() as connection:
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
        for row in rows[:MAX_EXAMPLES]:
            _, _, texts = queries.texts_of(connection, np.array([row.first], dtype=np.int64))
            examples.append(f"{row.n} times: {excerpt(''.join(texts))}")
    extra = sum(row.n - 1 for row in rows)
    if extra:
        yield Diagnosis(
            DoctorFinding(
                "equal-texts",
                "note",
                message=f"{extra:,} of {total:,} passages have the text of another one",
                count=extra,
                total=total,
                explanation="They are embedded once, and are one hit that names the other documents.",
                advice="nothing; gnomon search --all shows each, and --exclude leaves copies out",
                examples=tuple(examples),
            )
        )


def sources(context: CheckContext) -> Iterator[Diagnosis]:
    """Files that are missing or have other contents than those that were read, and files that were read in part.

    Every file is read: a file may change and keep its size and times.
    """
    with context.catalog.read() as connection:
        stored = queries.stored_sources(connection)
    by_state: dict[str, list[str]] = {"gone": [], "changed": [], "unreadable": [], "part": []}
    for path, row in stored.items():
        if state := _file_state(path, row):
            by_state[state].append(path)
    again = "gnomon index PATH --verify updates the collection from the files"
    take_out = "gnomon index of their folder, or of other files in it, takes them out; or gnomon remove COLLECTION "
    kinds: tuple[tuple[str, Severity, tuple[str, str], str], ...] = (
        ("gone", "note", ("do not exist any more", "Searches find them all the same."), f"{take_out}--source PATH"),
        ("changed", "note", ("have changed since they were read", "Searches find their old contents."), again),
        ("unreadable", "note", ("cannot be read now", "Whether they have changed is not known."), again),
        ("part", "warning", ("were read in part only", "An index run was interrupted; the rest is missing."), again),
    )
    for key, severity, (message, explanation), advice in kinds:
        paths = by_state[key]
        if paths:
            yield Diagnosis(
                DoctorFinding(
                    f"files-{key}",
                    severity,
                    message=f"{len(paths):,} of {len(stored):,} files {message}",
                    count=len(paths),
                    total=len(stored),
                    explanation=explanation,
                    advice=advice,
                    examples=tuple(_file_examples(paths)),
                )
            )


def _file_state(path: str, row: Any) -> str:
    if not row.sha256:
        return "part"
    if remote_scheme(path):  # an index run asks the server
        return ""
    try:
        with path_of(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    except OSError:
        return "unreadable"
    return "" if digest == row.sha256 else "changed"


def _file_examples(paths: list[str]) -> list[str]:
    """The files, or for many the folders with most of them."""
    if len(paths) <= MAX_EXAMPLES:
        return paths
    folders = Counter(str(Path(path).parent) for path in paths)
    return [f"{count:,} in {folder}" for folder, count in folders.most_common(MAX_EXAMPLES)]
