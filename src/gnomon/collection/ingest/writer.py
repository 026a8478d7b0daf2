"""Embedding into the vector cache, and writing into the live version, whichever that is.

Vectors are committed before chunks, and a switch may come in between. So the transaction that writes checks the
version and every vector; where that fails, the batch is prepared again, for the version that is live by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple, TypeVar

from sqlalchemy import Connection

from gnomon.collection.catalog import spending, vector_cache, versions
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.spending import SpendingLedger
from gnomon.collection.catalog.versions import Version
from gnomon.core.batching import in_blocks
from gnomon.core.budget import Budget
from gnomon.core.contracts import Encoder, SparseTextEncoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import ProviderFailed
from gnomon.core.instrumentation import count
from gnomon.core.interrupts import held_interrupts
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.usage import EncodedBatch, MeteredEncoder, Usage
from gnomon.text.chunk import Chunker
from gnomon.text.parts import PART_CHUNKS

SLICE_TEXTS = 256
"""Texts encoded between two commits: what a killed process can lose."""


@dataclass(frozen=True, slots=True)
class EmbeddingCounts:
    """What an embedding pass did: numbers of texts, tokens of those embedded, and seconds in the encoder.

    `usage` is what a server counted and charged for them. `further` are texts embedded in further spaces.
    """

    embedded: int = 0
    cached: int = 0
    truncated: int = 0
    tokens: int = 0
    seconds: float = 0.0
    usage: Usage = field(default_factory=Usage)
    further: int = 0

    def __add__(self, other: EmbeddingCounts) -> EmbeddingCounts:
        return EmbeddingCounts(
            self.embedded + other.embedded,
            self.cached + other.cached,
            self.truncated + other.truncated,
            self.tokens + other.tokens,
            self.seconds + other.seconds,
            self.usage + other.usage,
            self.further + other.further,
        )


@dataclass(frozen=True)
class EmbedOptions:
    """How texts are embedded: `slice_texts` at a time, within a budget, until `should_stop`.

    A server's texts come in the batches that it takes, and `should_stop` ends them between two of these.
    """

    slice_texts: int = SLICE_TEXTS
    budget: Budget = field(default_factory=Budget)
    should_stop: Callable[[], bool] = lambda: False


def embed_all(
    catalog: Catalog, target: Target, chunks: Sequence[Chunk], *, budget: Budget, progress: ProgressCallback
) -> EmbeddingCounts:
    """Embed the chunks whose vectors are not in the cache. `progress` receives the number of chunks of each step."""
    done = EmbeddingCounts()
    for part in embed_slices(catalog, target, chunks, options=EmbedOptions(budget=budget)):
        done += part
        progress(Progress("embedding", part.embedded + part.cached, unit="chunk"))
    return done


def embed_slices(
    catalog: Catalog, target: Target, chunks: Sequence[Chunk], *, options: EmbedOptions | None = None
) -> Iterator[EmbeddingCounts]:
    """The same in steps: first what the cache had, if anything, then each slice or batch as it is committed.

    The vectors of further spaces come after those of the first; of their texts only what is spent is counted.

    Raises what the encoder raises, and CostLimitReached: what was committed before is kept.
    """
    options = options or EmbedOptions()
    by_hash = {chunk.text_hash: chunk for chunk in chunks}
    with catalog.read() as connection:
        intact = set(vector_cache.get(connection, target.version.space_id, "document", hashes=list(by_hash)))
    if target.version.space.parent is not None and len(intact) < len(by_hash):
        lacking = [key for key in by_hash if key not in intact]
        intact |= catalog.transact(partial(vector_cache.derive, space_id=target.version.space_id, hashes=lacking))
    todo = [chunk for key, chunk in by_hash.items() if key not in intact]
    count("vector cache", hits=len(by_hash) - len(todo), misses=len(todo))
    if len(chunks) > len(todo):
        yield EmbeddingCounts(cached=len(chunks) - len(todo))
    if isinstance(target.encoder, MeteredEncoder):
        yield from _embed_batches(catalog, target, todo, options=options)
    else:
        for block in in_blocks(todo, options.slice_texts):
            yield _embed_slice(catalog, target, block)
    yield from _weigh_slices(catalog, target, by_hash, slice_texts=options.slice_texts)
    for other in target.beside:
        for part in embed_slices(catalog, other, list(by_hash.values()), options=options):
            yield replace(part, embedded=0, cached=0, further=part.further + part.embedded)


def _weigh_slices(
    catalog: Catalog, target: Target, by_hash: Mapping[bytes, Chunk], *, slice_texts: int
) -> Iterator[EmbeddingCounts]:
    """Sparse vectors of the chunks that the cache has none for, a slice at a time; the counts have only seconds."""
    encoder, sparse = target.sparse, target.version.sparse
    if encoder is None or sparse is None:
        return
    with catalog.read() as connection:
        there = vector_cache.get_sparse(connection, sparse.space_id, "document", hashes=list(by_hash)).keys()
    for block in in_blocks([chunk for key, chunk in by_hash.items() if key not in there], slice_texts):
        started = time.perf_counter()
        vectors = encoder.encode([chunk.embed_text for chunk in block], role="document")
        seconds = time.perf_counter() - started
        hashes = [chunk.text_hash for chunk in block]
        put = partial(vector_cache.put_sparse, space_id=sparse.space_id, role="document")
        catalog.transact(partial(put, hashes=hashes, vectors=vectors))
        yield EmbeddingCounts(seconds=seconds)


def _embed_slice(catalog: Catalog, target: Target, chunks: Sequence[Chunk]) -> EmbeddingCounts:
    started = time.perf_counter()
    vectors = target.encoder.encode([chunk.embed_text for chunk in chunks], role="document")
    seconds = time.perf_counter() - started
    tokens = target.tokens(chunks)
    hashes = [chunk.text_hash for chunk in chunks]
    space = target.version.space_id
    catalog.transact(partial(vector_cache.put, space_id=space, role="document", hashes=hashes, vectors=vectors))
    return EmbeddingCounts(
        embedded=len(chunks),
        truncated=sum(count > target.encoder.max_tokens for count in tokens),
        tokens=sum(tokens),
        seconds=seconds,
    )


def _embed_batches(
    catalog: Catalog, target: Target, chunks: Sequence[Chunk], *, options: EmbedOptions
) -> Iterator[EmbeddingCounts]:
    """Through a server: each answer is committed as it arrives, so that nothing is paid for twice.

    SIGINT and SIGTERM wait until the requests in flight are answered and committed; a second one does not.
    """
    encoder, budget, space = target.encoder, options.budget, target.version.space_id
    if not chunks or not isinstance(encoder, MeteredEncoder):
        return
    texts, started = [chunk.embed_text for chunk in chunks], time.perf_counter()
    counted = encoder.count_tokens(texts, role="document")
    with held_interrupts() as interrupted, budget.sending(encoder):

        def is_to_stop() -> bool:
            return interrupted.is_set() or options.should_stop()

        def may_send(_: int, tokens: int) -> bool:
            return not is_to_stop() and budget.admits(tokens)

        for batch in _until(is_to_stop, encoder.encode_batches(texts, role="document", may_send=may_send)):
            at = batch.positions.tolist()
            budget.answered(sum(counted[i] for i in at), batch.usage)
            with target.ledger.taken() as spent, catalog.write() as connection:
                hashes = [chunks[i].text_hash for i in at]
                vector_cache.put(connection, space, "document", hashes=hashes, vectors=batch.vectors)
                spending.record(connection, spent)
            ended = time.perf_counter()
            truncated = sum(counted[i] > encoder.max_tokens for i in at)
            yield EmbeddingCounts(len(at), 0, truncated, batch.usage.tokens, ended - started, batch.usage)
            started = ended


def _until(is_to_stop: Callable[[], bool], batches: Iterator[EncodedBatch]) -> Iterator[EncodedBatch]:
    """The batches; that others were not sent is no failure where it was wanted."""
    try:
        yield from batches
    except ProviderFailed:
        if not is_to_stop():
            raise


class Lot(NamedTuple):
    """How many files or documents, and chunks, are embedded and then written together."""

    files: int
    chunks: int


_LOT, _SERVER_LOT = Lot(256, PART_CHUNKS), Lot(8192, 8192)
"""Bounds memory, and what of other work than vectors a killed process can lose."""
Batch = TypeVar("Batch")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Target:
    """A version with the chunker and the encoder that make its chunks and vectors.

    `ledger` counts what a server charges. `own_tokenizer`: the tokens of its chunks are counted by the encoder's own
    tokenizer, not by another model's. `sparse` is the encoder of the version's sparse space, where it has one; `beside`
    are the targets of its further spaces.
    """

    version: Version
    chunker: Chunker
    encoder: Encoder
    ledger: SpendingLedger
    own_tokenizer: bool = True
    sparse: SparseTextEncoder | None = None
    beside: tuple[Target, ...] = ()

    @property
    def lot(self) -> Lot:
        """What is embedded together: more by a server, which has many requests in flight at once."""
        return _SERVER_LOT if isinstance(self.encoder, MeteredEncoder) else _LOT

    def tokens(self, chunks: Sequence[Chunk]) -> list[int]:
        """Each chunk's length in the encoder's tokens."""
        if self.own_tokenizer:
            return [chunk.tokens for chunk in chunks]
        return self.encoder.count_tokens([chunk.embed_text for chunk in chunks], role="document")


@dataclass(frozen=True)
class Writer:
    """Writes into whichever version is live. `target` gives the Target of a version's id.

    `budget` is what one run may spend: a Writer is made for each.
    """

    catalog: Catalog
    target: Callable[[int], Target]
    budget: Budget = field(default_factory=Budget)

    def live_target(self) -> Target:
        """The Target of the version that is live at this moment."""
        with self.catalog.read() as connection:
            live = versions.live_id(connection)
        return self.target(live)

    def put(
        self,
        prepare: Callable[[Target], tuple[Batch, Sequence[Chunk]]],
        write: Callable[[Connection, int, Batch], Result],
        progress: ProgressCallback,
    ) -> tuple[Result, EmbeddingCounts]:
        """Embed a batch's chunks and write it, in a transaction in which its version is live.

        `prepare` makes the batch and its chunks for a version, `write` writes it for a chunking, `progress` is as in
        `embed_all`. Where another version goes live in between, the batch is prepared for that one too, once.
        """
        ready: dict[int, tuple[Target, Batch, Sequence[Chunk]]] = {}
        embedded, target = EmbeddingCounts(), self.live_target()
        while True:
            live = target.version
            if live.id not in ready:
                ready[live.id] = (target, *prepare(target))
            embedded += embed_all(self.catalog, target, ready[live.id][2], budget=self.budget, progress=progress)
            found, written = self.catalog.transact(partial(_write_if_live, ready=ready, write=write))
            if written:
                return written[0], embedded
            target = ready[found][0] if found in ready else self.target(found)


def _write_if_live(
    connection: Connection,
    ready: Mapping[int, tuple[Target, Batch, Sequence[Chunk]]],
    write: Callable[[Connection, int, Batch], Result],
) -> tuple[int, list[Result]]:
    """Write the batch of the live version, where it is ready. Returns that version's id, and what was written."""
    found = versions.live_id(connection)
    if found in ready:
        target, batch, chunks = ready[found]
        if not lacking(connection, target.version, [chunk.text_hash for chunk in chunks]):
            return found, [write(connection, target.version.chunking_id, batch)]
    return found, []


def lacking(connection: Connection, of: Version, hashes: Sequence[bytes]) -> set[bytes]:
    """Hashes without a vector in one of a version's spaces.

    After a batch was embedded there are some only where the cache was pruned since.
    """
    spaces = of.space_ids
    return set().union(*(vector_cache.missing(connection, one, "document", hashes=hashes) for one in spaces))
