"""The cost of a version: texts to embed, time and disk space before the build; latency and size after it."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import chunks_of, document_of
from gnomon.collection.catalog.vector_cache import stored_type
from gnomon.collection.catalog.versions import Version, chunk_tokenizer_of, chunker_for
from gnomon.collection.collection import Collection
from gnomon.collection.ingest.workload import SAMPLE, Workload, WorkloadCounter
from gnomon.collection.reports import Status
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import InvalidInput, StorageError, TruncatedText
from gnomon.core.space import Space
from gnomon.core.vector_types import record_type
from gnomon.index.ann import scan_code_bytes
from gnomon.index.quantised_search import ScanSettings
from gnomon.index.segment_files import ITEM_BYTES
from gnomon.index.token_codes import TokenCodec
from gnomon.migrate.change import ResolvedChange

_MAX_S = 20.0
_BATCH_SIZE = 64
_CHUNK_BLOCK, _DOCUMENT_BLOCK = 2000, 100

MARGIN_SHARE, MARGIN_BYTES = 0.1, 64_000_000
"""Free space required beyond the estimate: a tenth of it, and room for SQLite's write-ahead log."""
_PAGE = 8192
_TYPICAL_TOKENS = 128.0
_LIST_ENTRIES = 2  # bytes a token in the lists that candidates are found by, about
_VECTOR_ROW, _VECTOR_KEY = 45, 80  # bytes beside the vector itself: hash, role, ids; and its index entry
_CHUNK_ROW, _JOURNAL_ROW = 330, 40  # bytes with their index entries
_LEXICAL_SHARE = 0.6  # of the text's bytes, if there is no keyword index to measure

TIMED_QUERIES = 100
"""Queries timed with each version."""
_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class EncodingSpeed:
    """The time in which a sample was encoded: `texts` with `tokens` in `seconds`, and `cpu_seconds` of all cores."""

    texts: int
    tokens: int
    seconds: float
    cpu_seconds: float = 0.0

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
    seconds = cpu_seconds = 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)  # the plan reports how many are too long
        encoder.encode(drawn[:batch_size], role="document")
        while done < len(drawn) and seconds < max_s:
            part = drawn[done : done + batch_size]
            started, cpu_started = time.perf_counter(), time.process_time()
            encoder.encode(part, role="document")
            seconds += time.perf_counter() - started
            cpu_seconds += time.process_time() - cpu_started
            tokens += sum(encoder.count_tokens(part, role="document"))
            done += len(part)
    return EncodingSpeed(done, tokens, seconds, cpu_seconds)


def count_workload(catalog: Catalog, change: ResolvedChange, *, sample: int = SAMPLE) -> Workload:
    """Count the texts to embed with the new model's own tokenizer, in one pass; changes nothing.

    Raises InvalidInput if the chunks stay and some are longer than the model's maximum.
    """
    return count_workloads(catalog, change, sample=sample)[0]


def count_workloads(catalog: Catalog, change: ResolvedChange, *, sample: int = SAMPLE) -> tuple[Workload, ...]:
    """The same of the model, and of each further one beside it, which may read less than a whole passage."""
    counters = [WorkloadCounter(catalog, encoder, sample=sample) for encoder in (change.encoder, *change.further)]
    started = time.perf_counter()
    for chunks in _existing_chunks(catalog, change) if change.chunking is None else _new_chunks(catalog, change):
        for counter in counters:
            counter.add(chunks)
    with catalog.read() as connection:
        documents = sum(1 for _ in connection.execute(select(schema.documents.c.id)).scalars())
    seconds = time.perf_counter() - started
    first, *rest = counters
    workload, others = first.workload(documents, seconds), [each.workload(documents, 0.0) for each in rest]
    if workload.too_long and change.chunking is None:
        raise InvalidInput(
            f"{workload.too_long:,} of {workload.chunks:,} passages are longer than the {change.encoder.max_tokens} "
            f"tokens that {change.encoder.space.short} reads; the longest has {workload.longest:,}",
            expected="passages that the model reads whole",
            hint=f"make new passages: --chunk-tokens {change.encoder.max_tokens}, or less",
        )
    return workload, *others


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
        yield [chunk for row in rows for chunk in chunker.chunk(document_of(row))]


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """Bytes on disk `before` and `after` the build (the maximum), and once the old version is `pruned`.

    `needed` bytes, a margin included, must be `free`.
    """

    before: int
    after: int
    pruned: int
    needed: int
    free: int

    @property
    def is_enough(self) -> bool:
        """Whether the free space suffices."""
        return self.free >= self.needed

    def require(self, folder: Path) -> None:
        """Raise StorageError if the free space does not suffice."""
        if self.is_enough:
            return
        raise StorageError(
            f"{self.free / 1e6:,.0f} MB are free at {folder}",
            expected=f"{self.needed / 1e6:,.0f} MB: the new version's size, and {MARGIN_SHARE:.0%} and "
            f"{MARGIN_BYTES / 1e6:.0f} MB more",
            hint="free space; gnomon versions COLLECTION --prune --vacuum removes retired versions",
        )


def estimate_disk(
    folder: Path, status: Status, workload: Workload, *, change: ResolvedChange, further: Sequence[Workload] = ()
) -> DiskEstimate:
    """Estimate the bytes of a new version. `status` is the live version's; cached vectors need no more space.

    `further` are the workloads of further spaces.
    """
    space, chunks = change.encoder.space, max(1, workload.chunks)
    lexical = next((each.bytes for each in status.derived if each.name == "lexical"), 0)
    dense = next((each.bytes for each in status.derived if each.name == "dense"), 0)
    before = status.catalog_bytes + sum(each.bytes for each in status.derived)
    per_chunk = lexical / status.chunks if lexical and status.chunks else 0.0
    indexes = round(per_chunk * chunks) or round(_LEXICAL_SHARE * workload.text_bytes)
    indexes += dense_bytes(chunks, space, _tokens_a_text(workload))
    made = workload.texts if space.parent is None else chunks
    vectors = round(made * vector_bytes(space, _tokens_a_text(workload)))
    for other, encoder in zip(further, change.further, strict=False):
        indexes += dense_bytes(chunks, encoder.space)
        vectors += round(other.texts * vector_bytes(encoder.space))
    rows = 0
    if change.chunking is not None:
        rows = workload.text_bytes + chunks * (_CHUNK_ROW + _JOURNAL_ROW)
    after = before + vectors + rows + indexes
    freed = dense + lexical
    if change.is_new_space:
        freed += round(status.vectors * vector_bytes(change.live.space))
    if change.chunking is not None:
        freed += round(status.chunks * _CHUNK_ROW + workload.text_bytes)
    needed = round((after - before) * (1 + MARGIN_SHARE)) + MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    return DiskEstimate(before, after, max(0, after - freed), needed, free)


def _tokens_a_text(workload: Workload) -> float:
    return workload.tokens / workload.texts if workload.texts else _TYPICAL_TOKENS


def vector_bytes(space: Space, tokens: float = _TYPICAL_TOKENS) -> float:
    """Bytes of a passage's row and index entry in the catalog: rows are packed whole into pages.

    A row longer than a page continues on overflow pages of its own (SQLite file format, section 1.6). `tokens` are
    a passage's, each with a vector in late interaction.
    """
    stored = record_type(stored_type(space, "document"), space.dim).itemsize
    payload = (round(tokens * stored) if space.similarity == "maxsim" else stored) + _VECTOR_ROW
    if payload <= _PAGE - 35:
        return _PAGE / ((_PAGE - 8) // (payload + 6)) + _VECTOR_KEY
    least = (_PAGE - 12) * 32 // 255 - 23
    local = least + (payload - least) % (_PAGE - 4)
    local = local if local <= _PAGE - 35 else least
    beyond = -(-(payload - local) // (_PAGE - 4))
    return _PAGE / ((_PAGE - 8) // (local + 10)) + beyond * _PAGE + _VECTOR_KEY


def dense_bytes(chunks: int, space: Space, tokens: float = _TYPICAL_TOKENS) -> int:
    """Bytes of the vector index's files: ids, places and codes; no vectors, and nothing of few."""
    if space.similarity == "maxsim":
        return round(chunks * (16 + tokens * (TokenCodec(space.dim).width + _LIST_ENTRIES)))
    if chunks <= ScanSettings().exact_below:
        return 0
    return chunks * ITEM_BYTES + scan_code_bytes(chunks, space.dim, space.similarity)


@dataclass(frozen=True, slots=True)
class Latency:
    """The 50th and 95th percentile of the seconds that `n` searches for ten passages took."""

    n: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class VersionSize:
    """A version's chunks and about its bytes on disk: its vectors in the catalog and its indexes."""

    chunks: int
    dim: int
    vector_bytes: int
    index_bytes: int

    @property
    def total(self) -> int:
        """All bytes."""
        return self.vector_bytes + self.index_bytes

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        return {**asdict(self), "total": self.total}


def measure_latencies(kbs: Sequence[Collection], queries: Sequence[str]) -> tuple[Latency, ...]:
    """Time the same queries on each collection in turn, so that other load on the machine affects all alike."""
    timed = list(queries)[:TIMED_QUERIES]
    for query in timed[:_WARM_UP]:
        for kb in kbs:
            kb.search(query)
    taken: list[list[float]] = [[] for _ in kbs]
    for number, query in enumerate(timed):
        for at in range(len(kbs)):
            turn = (at + number) % len(kbs)
            started = time.perf_counter()
            kbs[turn].search(query)
            taken[turn].append(time.perf_counter() - started)
    return tuple(
        Latency(len(of), float(np.percentile(of, 50)), float(np.percentile(of, 95))) if of else Latency(0, 0, 0)
        for of in taken
    )


def measure_size(kb: Collection) -> VersionSize:
    """The size of the version that a collection serves."""
    status = kb.status()
    space = Space.from_json(status.space)
    further = sum(each.vectors * vector_bytes(Space.from_json(each.space)) for each in status.spaces)
    return VersionSize(
        chunks=status.chunks,
        dim=space.dim,
        vector_bytes=round(status.vectors * vector_bytes(space) + further),
        index_bytes=sum(each.bytes for each in status.derived),
    )
