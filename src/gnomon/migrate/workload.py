"""The workload of building a version: the texts that have no vector yet and their tokens, counted exactly."""

from __future__ import annotations

import json
import time
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import select

from gnomon.collection.catalog import schema, vector_cache
from gnomon.collection.catalog.chunkers import chunk_tokenizer_of, chunker_for
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import chunks_of
from gnomon.collection.catalog.versions import Version
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.migrate.change import ResolvedChange

SAMPLE = 512
"""Texts encoded to measure the speed, at most."""
_MAX_S = 20.0
_BATCH_SIZE = 64


@dataclass(frozen=True, slots=True)
class EncodingSpeed:
    """The time in which a sample was encoded: `texts` with `tokens` in `seconds`."""

    texts: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second; 0 if nothing was measured."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def seconds_for(self, tokens: int) -> float:
        """Seconds for so many tokens of texts like the sample's."""
        return tokens / self.tokens_per_second if tokens and self.seconds else 0.0


def measure_speed(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    sample: int = SAMPLE,
    max_s: float = _MAX_S,
    batch_size: int = _BATCH_SIZE,
    seed: int = 0,
) -> EncodingSpeed:
    """Encode `sample` randomly drawn texts, or as many as `max_s` seconds allow.

    `batch_size` should be the build's: larger batches are sorted by length better. The first batch is encoded
    once before, untimed, as compilation happens only once. Raises InvalidInput for a sample below 1.
    """
    if sample < 1:
        raise InvalidInput(f"a sample of {sample} texts", expected="at least 1")
    if not texts:
        return EncodingSpeed(0, 0, 0.0)
    rows = np.random.default_rng(seed).permutation(len(texts))[:sample]
    drawn = [texts[row] for row in rows]
    done = tokens = 0
    seconds = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)  # the plan reports how many are too long
        encoder.encode(drawn[:batch_size], role="document")
        while done < len(drawn) and seconds < max_s:
            part = drawn[done : done + batch_size]
            started = time.perf_counter()
            encoder.encode(part, role="document")
            seconds += time.perf_counter() - started
            tokens += sum(encoder.count_tokens(part, role="document"))
            done += len(part)
    return EncodingSpeed(done, tokens, seconds)


_CHUNK_BLOCK, _DOCUMENT_BLOCK = 2000, 100


@dataclass(frozen=True)
class Workload:
    """The `texts` to embed, of `tokens` in all, for `chunks` of `documents`.

    `cached` chunks already have their vector, or have the text of a counted one. `too_long` texts exceed the
    model's maximum, `longest` is the tokens of the longest. `text_bytes` are of all chunks. `seconds` is the
    time for chunking and counting, which the build needs again. `sample` is a random sample of the texts.
    """

    documents: int = 0
    chunks: int = 0
    cached: int = 0
    texts: int = 0
    tokens: int = 0
    too_long: int = 0
    longest: int = 0
    text_bytes: int = 0
    seconds: float = 0.0
    sample: tuple[str, ...] = field(default=(), repr=False)


def count_workload(catalog: Catalog, change: ResolvedChange, *, sample: int = SAMPLE) -> Workload:
    """Count the texts to embed with the new model's own tokenizer, in one pass; changes nothing.

    Raises InvalidInput if the chunks stay and some are longer than the model's maximum.
    """
    counter = _Counter(catalog, change.encoder, sample)
    started = time.perf_counter()
    for chunks in _existing_chunks(catalog, change) if change.chunking is None else _new_chunks(catalog, change):
        counter.add(chunks)
    with catalog.read() as connection:
        documents = connection.execute(select(schema.documents.c.id)).scalars()
        workload = counter.workload(sum(1 for _ in documents), time.perf_counter() - started)
    if workload.too_long and change.chunking is None:
        raise InvalidInput(
            f"{workload.too_long:,} of {workload.chunks:,} passages are longer than the {change.encoder.max_tokens} "
            f"tokens that {change.encoder.space.short} reads; the longest has {workload.longest:,}",
            expected="passages that the model reads whole",
            hint=f"make new passages: --chunk-tokens {change.encoder.max_tokens}, or less",
        )
    return workload


class _Counter:
    """Adds up blocks of chunks. Equal texts are embedded once."""

    def __init__(self, catalog: Catalog, encoder: Encoder, sample: int) -> None:
        self._catalog, self._encoder, self._sample_size = catalog, encoder, sample
        with catalog.read() as connection:
            table = schema.spaces.c
            same = select(table.id).where(table.fingerprint == encoder.space.fingerprint)
            self._space: int | None = connection.execute(same).scalar_one_or_none()
        self._hashes: set[bytes] = set()
        self._sample: list[str] = []
        self._random = np.random.default_rng(0)
        self._chunks = self._tokens = self._too_long = self._longest = self._bytes = 0
        self._texts = 0

    def add(self, block: Sequence[Chunk]) -> None:
        """Count a block; only texts without a vector are tokenized."""
        self._chunks += len(block)
        self._bytes += sum(len(chunk.text.encode("utf-8", "surrogatepass")) for chunk in block)
        new = {chunk.text_hash: chunk.embed_text for chunk in block if chunk.text_hash not in self._hashes}
        self._hashes.update(new)
        if self._space is not None:
            with self._catalog.read() as connection:
                lacking = vector_cache.missing(connection, self._space, "document", list(new))
            new = {key: text for key, text in new.items() if key in lacking}
        texts = list(new.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedText)
            counts = self._encoder.count_tokens(texts, role="document") if texts else []
        self._tokens += sum(counts)
        self._longest = max([self._longest, *counts])
        self._too_long += sum(count > self._encoder.max_tokens for count in counts)
        for text in texts:
            self._draw(text)

    def workload(self, documents: int, seconds: float) -> Workload:
        """The sums."""
        return Workload(
            documents=documents,
            chunks=self._chunks,
            cached=self._chunks - self._texts,
            texts=self._texts,
            tokens=self._tokens,
            too_long=self._too_long,
            longest=self._longest,
            text_bytes=self._bytes,
            seconds=seconds,
            sample=tuple(self._sample),
        )

    def _draw(self, text: str) -> None:
        """Reservoir sampling: each text has the same chance (Vitter 1985, algorithm R)."""
        self._texts += 1
        if len(self._sample) < self._sample_size:
            self._sample.append(text)
        elif (at := int(self._random.integers(self._texts))) < self._sample_size:
            self._sample[at] = text


def _existing_chunks(catalog: Catalog, change: ResolvedChange) -> Iterator[list[Chunk]]:
    """The live version's chunks, in blocks, each in a short transaction."""
    chunk, after = schema.chunks.c, 0
    own = chunk.chunking_id == change.live.chunking_id
    while True:
        with catalog.read() as connection:
            wanted = select(chunk.id).where(own, chunk.id > after).order_by(chunk.id).limit(_CHUNK_BLOCK)
            ids = list(connection.execute(wanted).scalars())
            block = chunks_of(connection, ids)
        if not ids:
            return
        after = ids[-1]
        yield block


def _new_chunks(catalog: Catalog, change: ResolvedChange) -> Iterator[list[Chunk]]:
    """All documents, chunked as the new version will."""
    version = Version(
        id=0,
        chunking_id=0,
        chunking=change.chunk_settings.to_json(),
        space_id=0,
        space=change.encoder.space,
        model=change.model,
        retrieval=change.retrieval,
        chunk_tokenizer=chunk_tokenizer_of(change.encoder),
    )
    table, after = schema.documents, 0
    with catalog.read() as connection:
        chunker = chunker_for(connection, version, change.encoder)
    while True:
        with catalog.read() as connection:
            wanted = select(table).where(table.c.id > after).order_by(table.c.id).limit(_DOCUMENT_BLOCK)
            rows = connection.execute(wanted).all()
        if not rows:
            return
        after = rows[-1].id
        block = []
        for row in rows:
            document = Document(
                id=row.key,
                text=zlib.decompress(row.body).decode(),
                title=row.title,
                source=row.source,
                media_type=row.media_type,
                metadata=json.loads(row.metadata),
            )
            block += chunker.chunk(document)
        yield block
