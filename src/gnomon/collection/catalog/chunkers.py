"""The chunker of a version. A chunking is its settings and the tokenizer that cuts it, whatever the model."""

from __future__ import annotations

import hashlib
import zlib

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.versions import ChunkTokenizer, Version, chunking_json
from gnomon.core.contracts import Encoder
from gnomon.core.errors import CollectionDamaged
from gnomon.text.chunk import Chunker, ChunkSettings


def chunker_for(connection: Connection, version: Version, encoder: Encoder) -> Chunker:
    """The chunker of a version's chunking: by the encoder where it is that one's, else by the tokenizer kept.

    Raises CollectionDamaged where that tokenizer is gone.
    """
    settings, cutter = ChunkSettings.from_json(version.chunking), version.cutter
    if uses_own_tokenizer(version, encoder):
        return Chunker(
            settings,
            tokenizer_json=encoder.tokenizer_json,
            count=lambda texts: encoder.count_tokens(texts, role="document"),
            overhead=_overhead(encoder),
        )
    digest = "" if cutter is None else cutter.tokenizer
    table = schema.tokenizers.c
    body = connection.execute(select(table.body).where(table.digest == digest)).scalar_one_or_none()
    if cutter is None or body is None:
        raise CollectionDamaged(
            f"the tokenizer {digest[:12]} that cuts the chunks of {version.name} is not in the catalog",
            expected="a catalog that holds it",
            hint="make a version with chunks of its own: gnomon migrate --chunk-tokens N",
        )
    return Chunker(settings, tokenizer_json=zlib.decompress(body).decode(), overhead=cutter.overhead)


def uses_own_tokenizer(version: Version, encoder: Encoder) -> bool:
    """Whether the chunks of a version are cut by the tokenizer of its own model."""
    return version.cutter is None or chunk_tokenizer_of(encoder) == version.cutter


def chunk_tokenizer_of(encoder: Encoder) -> ChunkTokenizer | None:
    """What an encoder cuts by; None for one without a tokenizer that could be kept."""
    if encoder.tokenizer_json is None:
        return None
    return ChunkTokenizer(hashlib.sha256(encoder.tokenizer_json.encode()).hexdigest(), _overhead(encoder))


def keep_tokenizer(connection: Connection, encoder: Encoder) -> ChunkTokenizer | None:
    """Put an encoder's tokenizer into the catalog, where it has one."""
    cutter = chunk_tokenizer_of(encoder)
    if cutter is not None and encoder.tokenizer_json is not None:
        body = zlib.compress(encoder.tokenizer_json.encode(), 6)
        row = upsert(schema.tokenizers).values(digest=cutter.tokenizer, body=body)
        connection.execute(row.on_conflict_do_nothing())
    return cutter


def record_tokenizer(connection: Connection, version: Version, encoder: Encoder) -> None:
    """Keep what cuts the chunking of a version, whose own encoder this is: it is to outlive the model."""
    if version.cutter is not None:
        return
    cutter, table = keep_tokenizer(connection, encoder), schema.chunkings
    if cutter is not None:
        settings = chunking_json(version.chunking, cutter)
        row = update(table).where(table.c.id == version.chunking_id).values(settings=settings)
        connection.execute(row)


def _overhead(encoder: Encoder) -> int:
    return encoder.count_tokens([""], role="document")[0]
