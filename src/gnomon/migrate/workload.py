"""What a version takes to build: each passage that has no vector yet, with its tokens, counted one by one."""

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
from gnomon.migrate.change import Aim

SAMPLE = 512
"""Texts encoded to measure the speed, at most."""
_SECONDS = 20.0
_SLICE = 64


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast a sample was encoded: `texts` and `tokens` in `seconds`."""

    texts: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        """Tokens encoded in a second; 0 where nothing was measured."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def seconds_for(self, tokens: int) -> float:
        """How long so many tokens take, were they of texts like the sample's."""
        return tokens / self.tokens_per_second if tokens and self.seconds else 0.0


def measure_speed(
    encoder: Encoder,
    texts: Sequence[str],
    *,
    sample: int = SAMPLE,
    most_s: float = _SECONDS,
    slice_texts: int = _SLICE,
    seed: int = 0,
) -> Speed:
    """Encode texts drawn at random until `sample` of them or `most_s` seconds are through.

    `slice_texts` at once, as the build will: a smaller slice can be sorted by length less well.

    The first slice is encoded twice and its first time left out: what compiling takes is paid once, not by
    every text. Raises InvalidInput for a sample below 1.
    """
    if sample < 1:
        raise InvalidInput(f"a sample of {sample} texts", expected="at least 1")
    if not texts:
        return Speed(0, 0, 0.0)
    rows = np.random.default_rng(seed).permutation(len(texts))[:sample]
    drawn = [texts[row] for row in rows]
    done = tokens = 0
    seconds = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)  # the plan says how many are too long
        encoder.encode(drawn[:slice_texts], role="document")
        while done < len(drawn) and seconds < most_s:
            part = drawn[done : done + slice_texts]
            started = time.perf_counter()
            encoder.encode(part, role="document")
            seconds += time.perf_counter() - started
            tokens += sum(encoder.count_tokens(part, role="document"))
            done += len(part)
    return Speed(done, tokens, seconds)


_CHUNKS, _DOCUMENTS = 2000, 100


@dataclass(frozen=True)
class Work:
    """What there is to do: `texts` to embed, of `tokens` in all, for `chunks` of `documents`.

    `cached` chunks have their vector, or share one that is counted. `too_long` texts are longer than the
    model reads, `longest` is the longest in tokens. `text_bytes` are those of all chunks. `seconds` is what
    cutting and counting took: the build takes it again. `sample` are some of the texts, drawn at random.
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


def work_of(catalog: Catalog, aim: Aim, *, sample: int = SAMPLE) -> Work:
    """Count it, by the new model's own tokenizer; changes nothing. One pass over all chunks or documents.

    Raises InvalidInput where chunks that are to stay are longer than the model reads.
    """
    counted = _Counted(catalog, aim.encoder, sample)
    started = time.perf_counter()
    for chunks in _kept(catalog, aim) if aim.chunking is None else _cut(catalog, aim):
        counted.take(chunks)
    with catalog.read() as connection:
        documents = connection.execute(select(schema.documents.c.id)).scalars()
        work = counted.work(sum(1 for _ in documents), time.perf_counter() - started)
    if work.too_long and aim.chunking is None:
        raise InvalidInput(
            f"{work.too_long:,} of {work.chunks:,} passages are longer than the {aim.encoder.max_tokens} "
            f"tokens that {aim.encoder.space.short} reads; the longest has {work.longest:,}",
            expected="passages that the model reads whole",
            hint=f"have them cut anew: --chunk-tokens {aim.encoder.max_tokens}, or less",
        )
    return work


class _Counted:
    """Adds up blocks of chunks. A text that comes again is embedded once."""

    def __init__(self, catalog: Catalog, encoder: Encoder, sample: int) -> None:
        self._catalog, self._encoder, self._most = catalog, encoder, sample
        with catalog.read() as connection:
            table = schema.spaces.c
            known = select(table.id).where(table.fingerprint == encoder.space.fingerprint)
            self._space: int | None = connection.execute(known).scalar_one_or_none()
        self._seen: set[bytes] = set()
        self._sample: list[str] = []
        self._random = np.random.default_rng(0)
        self._chunks = self._tokens = self._too_long = self._longest = self._bytes = 0
        self._texts = 0

    def take(self, block: Sequence[Chunk]) -> None:
        """Count a block; only texts without a vector are tokenized."""
        self._chunks += len(block)
        self._bytes += sum(len(chunk.text.encode("utf-8", "surrogatepass")) for chunk in block)
        fresh = {chunk.text_hash: chunk.embed_text for chunk in block if chunk.text_hash not in self._seen}
        self._seen.update(fresh)
        if self._space is not None:
            with self._catalog.read() as connection:
                lacking = vector_cache.missing(connection, self._space, "document", list(fresh))
            fresh = {key: text for key, text in fresh.items() if key in lacking}
        texts = list(fresh.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedText)
            counts = self._encoder.count_tokens(texts, role="document") if texts else []
        self._tokens += sum(counts)
        self._longest = max([self._longest, *counts])
        self._too_long += sum(count > self._encoder.max_tokens for count in counts)
        for text in texts:
            self._draw(text)

    def work(self, documents: int, seconds: float) -> Work:
        """What it comes to."""
        return Work(
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
        """Each text is in the sample with the same chance (Vitter 1985, algorithm R)."""
        self._texts += 1
        if len(self._sample) < self._most:
            self._sample.append(text)
        elif (at := int(self._random.integers(self._texts))) < self._most:
            self._sample[at] = text


def _kept(catalog: Catalog, aim: Aim) -> Iterator[list[Chunk]]:
    """The chunks that are there, in blocks, each in a short transaction."""
    chunk, after = schema.chunks.c, 0
    own = chunk.chunking_id == aim.live.chunking_id
    while True:
        with catalog.read() as connection:
            wanted = select(chunk.id).where(own, chunk.id > after).order_by(chunk.id).limit(_CHUNKS)
            ids = list(connection.execute(wanted).scalars())
            block = chunks_of(connection, ids)
        if not ids:
            return
        after = ids[-1]
        yield block


def _cut(catalog: Catalog, aim: Aim) -> Iterator[list[Chunk]]:
    """All documents, cut as the new version will have them."""
    version = Version(
        id=0,
        chunking_id=0,
        chunking=aim.chunk_settings.to_json(),
        space_id=0,
        space=aim.encoder.space,
        model=aim.model,
        retrieval=aim.retrieval,
        chunk_tokenizer=chunk_tokenizer_of(aim.encoder),
    )
    table, after = schema.documents, 0
    with catalog.read() as connection:
        chunker = chunker_for(connection, version, aim.encoder)
    while True:
        with catalog.read() as connection:
            wanted = select(table).where(table.c.id > after).order_by(table.c.id).limit(_DOCUMENTS)
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
