"""What is to be embedded: texts and tokens counted, and what a server of the model charges for them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import select

from gnomon.collection.catalog import schema, vector_cache
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.budget import ServerCost, server_cost
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import TruncatedText
from gnomon.core.usage import MeteredEncoder

SAMPLE = 512
"""Texts encoded to measure the speed, at most."""


@dataclass(frozen=True)
class Workload:
    """The `texts` to embed, of `tokens` in all, for `chunks` of `documents`.

    `cached` chunks already have their vector, or have the text of a counted one. `too_long` texts exceed the
    model's maximum, `longest` is the tokens of the longest. `text_bytes` are of all chunks. `seconds` is the
    time for chunking and counting, which the build needs again. `sample` is a random sample of the texts.
    `server` is what a server charges, None for a model of this machine.
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
    server: ServerCost | None = None


class WorkloadCounter:
    """Adds up blocks of chunks. Equal texts are embedded once, and those with a vector in `catalog` not again."""

    def __init__(self, catalog: Catalog | None, encoder: Encoder, *, sample: int = 0) -> None:
        self._encoder, self._sample_size = encoder, sample
        self._spaces: list[int] = []
        if catalog is not None:
            self._read = catalog.read
            with catalog.read() as connection:
                table = schema.spaces.c
                # Vectors of the space's parent are cut and rounded, not made again.
                same = table.fingerprint.in_([encoder.space.fingerprint, encoder.space.parent or ""])
                self._spaces = list(connection.execute(select(table.id).where(same)).scalars())
        self._hashes: set[bytes] = set()
        self._sample: list[str] = []
        self._random = np.random.default_rng(0)
        self._chunks = self._tokens = self._too_long = self._longest = self._bytes = 0
        self._texts = 0
        self._counts: list[int] = []  # of each text, where a server takes them in requests

    def add(self, block: Sequence[Chunk]) -> None:
        """Count a block; only texts without a vector are tokenized."""
        self._chunks += len(block)
        self._bytes += sum(len(chunk.text.encode("utf-8", "surrogatepass")) for chunk in block)
        new = {chunk.text_hash: chunk.embed_text for chunk in block if chunk.text_hash not in self._hashes}
        self._hashes.update(new)
        for space in self._spaces:
            with self._read() as connection:
                lacking = vector_cache.missing(connection, space, "document", hashes=list(new))
            new = {key: text for key, text in new.items() if key in lacking}
        texts = list(new.values())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedText)
            counts = self._encoder.count_tokens(texts, role="document") if texts else []
        self._tokens += sum(counts)
        self._longest = max([self._longest, *counts])
        if isinstance(self._encoder, MeteredEncoder):
            self._counts += counts
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
            server=server_cost(self._encoder, self._counts),
        )

    def _draw(self, text: str) -> None:
        """Reservoir sampling: each text has the same chance (Vitter 1985, algorithm R)."""
        self._texts += 1
        if len(self._sample) < self._sample_size:
            self._sample.append(text)
        elif (at := int(self._random.integers(self._texts))) < self._sample_size:
            self._sample[at] = text
