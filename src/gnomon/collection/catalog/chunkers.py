"""The chunker of a version: made of the chunk settings and of the tokenizer that counts tokens, kept with them."""

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
    """The chunker of a version: with the encoder's tokenizer where that is the one it was made with, else the kept one.

    Raises CollectionDamaged where the kept tokenizer is gone.
    """
    settings, tokenizer = ChunkSettings.from_json(version.chunking), version.chunk_tokenizer
    if uses_own_tokenizer(version, encoder):
        return Chunker(
            settings,
            tokenizer_json=encoder.tokenizer_json,
            count=lambda texts: encoder.count_tokens(texts, role="document"),
            overhead=_overhead(encoder),
        )
    digest = "" if tokenizer is None else tokenizer.digest
    table = schema.tokenizers.c
    body = connection.execute(select(table.body).where(table.digest == digest)).scalar_one_or_none()
    if tokenizer is None or body is None:
        raise CollectionDamaged(
            f"the tokenizer {digest[:12]} of the chunks of {version.name} is not in the catalog",
            expected="a catalog that holds it",
            hint="make a version with chunks of its own: gnomon migrate --chunk-tokens N",
        )
    return Chunker(settings, tokenizer_json=zlib.decompress(body).decode(), overhead=tokenizer.overhead)


def uses_own_tokenizer(version: Version, encoder: Encoder) -> bool:
    """Whether the chunks of a version are counted by the tokenizer of its own model."""
    return version.chunk_tokenizer is None or chunk_tokenizer_of(encoder) == version.chunk_tokenizer


def chunk_tokenizer_of(encoder: Encoder) -> ChunkTokenizer | None:
    """Digest and overhead of an encoder's tokenizer; None for one without a tokenizer that could be kept."""
    if encoder.tokenizer_json is None:
        return None
    return ChunkTokenizer(hashlib.sha256(encoder.tokenizer_json.encode()).hexdigest(), _overhead(encoder))


def keep_tokenizer(connection: Connection, encoder: Encoder) -> ChunkTokenizer | None:
    """Put an encoder's tokenizer into the catalog, where it has one."""
    tokenizer = chunk_tokenizer_of(encoder)
    if tokenizer is not None and encoder.tokenizer_json is not None:
        body = zlib.compress(encoder.tokenizer_json.encode(), 6)
        row = upsert(schema.tokenizers).values(digest=tokenizer.digest, body=body)
        connection.execute(row.on_conflict_do_nothing())
    return tokenizer


def record_tokenizer(connection: Connection, version: Version, encoder: Encoder) -> None:
    """Keep the tokenizer of a version's chunking, whose own encoder this is, so that it outlives the model."""
    if version.chunk_tokenizer is not None:
        return
    tokenizer, table = keep_tokenizer(connection, encoder), schema.chunkings
    if tokenizer is not None:
        settings = chunking_json(version.chunking, tokenizer)
        row = update(table).where(table.c.id == version.chunking_id).values(settings=settings)
        connection.execute(row)


def _overhead(encoder: Encoder) -> int:
    return encoder.count_tokens([""], role="document")[0]
