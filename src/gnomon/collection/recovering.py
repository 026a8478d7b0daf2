"""What was embedded of a chunk, from its row: the catalog keeps the text, and a hash of text and prefix.

The prefix is made of the title and the headings, cut to what there was room for. There are a few dozen it can
have been; the hash tells which. So another model can embed chunks whatever has cut them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, select

from gnomon.collection import cache, schema
from gnomon.core.documents import Chunk
from gnomon.core.errors import CollectionDamaged

_BLOCK = 500  # values in one IN list: SQLite's oldest limit is 999


def chunks_of(connection: Connection, ids: Sequence[int]) -> list[Chunk]:
    """The chunks of these ids (rising) as they were cut, each with the text that is embedded.

    `document_id` is the document's id as people know it. Raises CollectionDamaged where a chunk's text does
    not belong to its hash.
    """
    chunk, document = schema.chunks.c, schema.documents.c
    found = []
    for at in range(0, len(ids), _BLOCK):
        rows = connection.execute(
            select(schema.chunks, document.key, document.title)
            .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
            .where(chunk.id.in_(ids[at : at + _BLOCK]))
            .order_by(chunk.id)
        )
        found += [_chunk(row) for row in rows]
    return found


def _chunk(row: Any) -> Chunk:
    heading = tuple(json.loads(row.heading))
    for text in embedded_texts(row.title, heading, row.text):
        if cache.hash_of(text) == row.text_hash:
            return Chunk(row.key, row.ordinal, row.start, row.end, row.text, text, row.tokens, heading)
    raise CollectionDamaged(
        f"chunk {row.id} of {row.key!r}: its text is not the one that was embedded",
        wanted="a text that belongs to its hash",
        next_step="take the document out and put it in again, or make a version with chunks of its own: "
        "gnomon migrate --chunk-tokens N",
    )


def embedded_texts(title: str, heading: Sequence[str], text: str) -> Iterator[str]:
    """All that can have been embedded of a chunk, the likeliest first."""
    title = " ".join(title.split())
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
