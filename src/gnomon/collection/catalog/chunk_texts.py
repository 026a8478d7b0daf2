"""A chunk's text: in its own row, or a span of its document's text, which is then kept once.

A chunk of a document of up to 16,384 characters that is `text[start:end]` of it has "" in its row. Longer documents
would have to be decompressed for a few words: their chunks have their own texts, as all had before 0.2.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, Result, bindparam, case, exists, select, update

from gnomon.collection.catalog import schema
from gnomon.core.batching import in_blocks

SPAN_CHARACTERS = 16_384
"""The longest document that is decompressed for a chunk: this takes about 50 microseconds."""
BODY = case((schema.chunks.c.text == "", schema.documents.c.body), else_=None).label("body")
"""The compressed text of the document of a chunk without its own: to be selected with its text, start and end."""


def stored_text(document: str, start: int, end: int, *, text: str) -> str:
    """What is stored as the text of a chunk, which reaches from `start` to `end` of a document."""
    return "" if len(document) <= SPAN_CHARACTERS and document[start:end] == text else text


def decompressed(body: bytes) -> str | None:
    """A document's text; None where what is stored is damaged."""
    try:
        return zlib.decompress(body).decode()
    except (zlib.error, UnicodeDecodeError):
        return None


def texts_of_rows(rows: Iterable[Any]) -> list[str | None]:
    """The text of each row, which has text, start, end and `BODY`; None where its document's is damaged."""
    found: list[str | None] = []
    body: bytes | None = None
    document: str | None = None
    for row in rows:
        if row.body is None:
            found.append(row.text)
            continue
        if row.body != body:  # chunks of a document mostly follow each other
            body, document = row.body, decompressed(row.body)
        found.append(None if document is None else document[row.start : row.end])
    return found


def with_texts(rows: Result[Any]) -> list[Any]:
    """The rows with their texts; "" where the document's is damaged, which is not the text of their hash."""
    found = [SimpleNamespace(**row) for row in rows.mappings()]
    for row, text in zip(found, texts_of_rows(found), strict=True):
        row.text = text or ""
    return found


def stored_texts(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is to be stored as the texts of new rows of documents that are in the catalog."""
    document = schema.documents.c
    of = list({row["document_id"] for row in rows})
    bodies: dict[int, bytes] = {}
    for block in in_blocks(of, schema.IN_VALUES):
        short = (document.id.in_(block), document.characters <= SPAN_CHARACTERS)
        bodies.update((at, body) for at, body in connection.execute(select(document.id, document.body).where(*short)))
    whole = {at: decompressed(body) or "" for at, body in bodies.items()}
    return [stored_text(whole.get(row["document_id"], ""), row["start"], row["end"], text=row["text"]) for row in rows]


def drop_copies(connection: Connection, after: int, *, limit: int) -> tuple[int, int] | None:
    """Take the texts out of the chunks of the next documents after a row id, where they are spans of these.

    Returns how many, and the last document's row id; None where there are no more.
    """
    document, chunk = schema.documents.c, schema.chunks.c
    copies = exists(select(chunk.id).where(chunk.document_id == document.id, chunk.text != ""))
    next_ones = select(document.id, document.body).where(
        document.id > after, document.characters <= SPAN_CHARACTERS, copies
    )
    bodies = {row.id: row.body for row in connection.execute(next_ones.order_by(document.id).limit(limit))}
    if not bodies:
        return None
    dropped = []
    for block in in_blocks(list(bodies), schema.IN_VALUES):
        columns = (chunk.id, chunk.document_id, chunk.start, chunk.end, chunk.text)
        rows = connection.execute(select(*columns).where(chunk.document_id.in_(block), chunk.text != "")).all()
        texts = {at: decompressed(bodies[at]) or "" for at in block}
        dropped += [
            {"of": row.id}
            for row in rows
            if stored_text(texts[row.document_id], row.start, row.end, text=row.text) == ""
        ]
    if dropped:
        connection.execute(update(schema.chunks).where(chunk.id == bindparam("of")).values(text=""), dropped)
    return len(dropped), max(bodies)
