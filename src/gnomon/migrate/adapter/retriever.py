"""Search a collection with the model of a version that is still being built.

Passages that the build has embedded are searched by their new vectors, the others by the live version's vectors
through an embedding adapter. The keyword index is searched as usual.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from sqlalchemy import exists, func, select

from gnomon.collection.catalog import queries, schema, vector_cache, versions
from gnomon.collection.catalog.queries import chunks_of, vectors_of
from gnomon.collection.catalog.versions import Version
from gnomon.collection.collection import Collection
from gnomon.collection.duplicates import deeper
from gnomon.collection.evaluation import GROUP_DEPTH
from gnomon.collection.ingest.writer import EmbeddingCounts, EmbedOptions, embed_slices
from gnomon.collection.inputs import checked_queries
from gnomon.collection.search import build_retriever, hybrid
from gnomon.collection.serving.snapshot import Snapshot
from gnomon.collection.settings import By, Mode
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, Encoder, Retriever
from gnomon.core.documents import Chunk
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.ranking import Hit, Query, Ranking
from gnomon.core.renamed import renamed_argument, renamed_fields
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vectors import Vectors
from gnomon.index.scan import ScanIndex
from gnomon.migrate.adapter.files import load_version_adapter
from gnomon.migrate.adapter.fit import AdapterSettings, EmbeddingAdapter, fit_adapter
from gnomon.migrate.adapter.maps import VectorPairs
from gnomon.migrate.adapter.search import DualIndexSearch
from gnomon.retrieve.names import QuotedPhrases
from gnomon.retrieve.where import Where

_PAIRS, _BATCH = 4000, 256
FoundBy = Literal["new", "adapter", "words"]


@renamed_fields(handed="embedded", waiting="pending")
@dataclass(frozen=True, slots=True)
class EmbeddingCoverage:
    """How many passages of a version have their vector, and how many do not have it yet."""

    embedded: int
    pending: int

    @property
    def share(self) -> float:
        """The embedded part, from 0 to 1; 1 where there are no passages."""
        return self.embedded / (self.embedded + self.pending) if self.embedded or self.pending else 1.0


class DualIndexRetriever:
    """A Retriever with a new model's queries over old and new vectors. Made by `dual_index_retriever`.

    Removed passages are no longer found at once; newly embedded ones are used after `refresh`. Once the version
    is live it is searched as any other. Search stages that need all vectors in one space (Rocchio, neighbours),
    and reranking, are left out until then.
    """

    def __init__(self, kb: Collection, version: Version, adapter: EmbeddingAdapter, *, mode: Mode | None) -> None:
        self._kb, self._version, self._adapter = kb, version, adapter
        self._mode = mode or version.retrieval.mode
        self._encoders = kb.internals.serving.served_version(version.id).encoders
        self._lock = threading.Lock()
        self._new = ScanIndex(adapter.new)
        self._embedded: Array = np.zeros(0, dtype=np.int64)
        self._state: _IndexState | None = None
        self.refresh()

    def refresh(self) -> EmbeddingCoverage:
        """Index what was embedded since the last refresh; returns how many passages have a new vector."""
        state = self._update(self._kb.internals.serving.snapshot(), read_new=True)
        return EmbeddingCoverage(len(state.new), len(state.pending))

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` passages for each query, best first."""
        snapshot = self._kb.internals.serving.snapshot()
        if snapshot.version.space == self._adapter.new:
            return snapshot.retriever(self._mode, None, self._encoders.for_searches)(queries, k=k)
        return self._retriever(snapshot)(queries, k=k)

    def search(
        self, query: str, *, k: int = 10, by: By = "chunk", where: Where | None = None, collapse: bool = True
    ) -> list[Hit]:
        """As `Collection.search`; `found_by` tells which vector found a hit."""
        (checked,) = checked_queries([query], k, by)
        if where is not None:
            checked = replace(checked, where=self._kb.chunk_ids(where))
        depth = deeper(k) if collapse else k
        (ranking,) = self([checked], k=depth if by == "chunk" else max(depth, GROUP_DEPTH))
        return self._kb.hits(query, ranking, k=k, by=by, collapse=collapse)

    def _retriever(self, snapshot: Snapshot) -> Retriever:
        own = self._version.retrieval
        # Its passages have no vectors yet in further spaces, sparse or dense.
        fuse = replace(own.fuse, weights=None) if own.sparse is not None or own.spaces else own.fuse
        off: dict[str, Any] = {"rocchio": None, "neighbours": None, "rerank": None, "sparse": None, "spaces": ()}
        settings = replace(own, fuse=fuse, **off)
        words = build_retriever(
            "lexical",
            settings,
            encoder=None,
            dense=snapshot.indexes.dense,
            lexical=snapshot.indexes.lexical,
            lookups=snapshot.served.lookups(),
        )
        if self._mode == "lexical":
            return words
        state = self._state
        if state is None or state.position != snapshot.indexes.dense_at:
            state = self._update(snapshot)
        encoder = self._encoders.for_searches()
        dense = DualIndexSearch(encoder, self._adapter, snapshot.indexes.dense, state.new, state.pending)
        if self._mode == "dense":
            return dense
        return QuotedPhrases(hybrid({"dense": dense, "lexical": words}, settings), snapshot.indexes.lexical)

    def _update(self, snapshot: Snapshot, *, read_new: bool = False) -> _IndexState:
        """Which passages are embedded and which pending in this view; `read_new` also reads new vectors."""
        space = self._adapter.new
        with self._lock:
            self._adapter.old.require(snapshot.version.space)
            with self._kb.internals.catalog.read() as connection:
                every = queries.all_ids(connection, snapshot.version.chunking_id)
                others = np.setdiff1d(every, self._embedded, assume_unique=True)
                if read_new:
                    fresh, vectors = queries.vectors_of(connection, self._version.space_id, space, ids=others)
                    if len(fresh):
                        self._new.add(fresh, vectors)
                    self._embedded = np.union1d(self._embedded, fresh)
            self._new.remove(np.setdiff1d(self._embedded, every, assume_unique=True))
            self._embedded = np.intersect1d(self._embedded, every, assume_unique=True)
            pending = np.setdiff1d(every, self._embedded, assume_unique=True)
            self._state = _IndexState(snapshot.indexes.dense_at, self._new.pinned(), pending)
            return self._state


@dataclass(frozen=True, eq=False)
class _IndexState:
    """At a position of the journal: the index of the new vectors, and the ids that have none yet."""

    position: int
    new: ScanIndex
    pending: Array


def found_by(hit: Hit) -> FoundBy:
    """What found a hit of a `DualIndexRetriever`: its new vector, its old one through the adapter, or words alone."""
    if not np.isnan(hit.stages.get("adapter", np.nan)):
        return "adapter"
    return "words" if np.isnan(hit.stages.get("dense", np.nan)) else "new"


def dual_index_retriever(
    kb: Collection, version: str, adapter: EmbeddingAdapter | None = None, *, mode: Mode | None = None
) -> DualIndexRetriever:
    """A retriever with the model of a version that is being built.

    Without `adapter`, the one that `gnomon migrate --adapter` fitted. `mode` None: the version's own mode.
    Raises NotReady if there is no adapter, SpaceMismatch if it is not between the live version's model and
    this one's, InvalidInput if the two versions have different passages.
    """
    found, live = kb.versions.get(version), kb.version
    if adapter is None:
        adapter = load_version_adapter(kb, version)
    adapter.old.require(live.space)
    adapter.new.require(found.space)
    if found.chunking_id != live.chunking_id:
        raise InvalidInput(
            f"{found.name} has other passages than {live.name}",
            expected="two versions of the same passages",
            hint=f"let {live.name} serve until {found.name} is built",
        )
    return DualIndexRetriever(kb, found, adapter, mode=mode)


def embedding_coverage(kb: Collection, version: str) -> EmbeddingCoverage:
    """How many passages of a version have their vector; loads no model."""
    found = kb.versions.get(version)
    chunk, vector = schema.chunks.c, schema.vectors.c
    every = select(func.count()).where(chunk.chunking_id == found.chunking_id)
    own = (vector.space_id == found.space_id, vector.role == "document", vector.text_hash == chunk.text_hash)
    with kb.internals.catalog.read() as connection:
        total = int(connection.execute(every).scalar_one())
        done = int(connection.execute(every.where(exists().where(*own))).scalar_one())
    return EmbeddingCoverage(done, total - done)


def sample_passages(kb: Collection, count: int) -> Int[np.ndarray, " drawn"]:
    """Ids of `count` passages to fit an adapter on, pseudo-random, ascending.

    Passages are ordered by a hash of their id (SplitMix64, Steele, Lea and Flood 2014), so that nearly the
    same ones are drawn after a few writes.
    """
    with kb.internals.catalog.read() as connection:
        every = queries.all_ids(connection, kb.version.chunking_id)
    hashes = every.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(np.sort(every[np.argsort(hashes ^ (hashes >> np.uint64(31)), kind="stable")[:count]]))


@renamed_argument("said", "progress", lambda said: lambda event: said(event.done, event.total))
def fit_adapter_for(
    kb: Collection,
    to: Encoder,
    *,
    pairs: int = _PAIRS,
    queries: Sequence[str] | None = None,
    settings: AdapterSettings | None = None,
    progress: ProgressCallback = no_progress,
) -> EmbeddingAdapter:
    """Fit an adapter from another model to the live one, on `pairs` random passages of the collection.

    If a version of that model is being built, the vectors made here are kept for it. `queries`, such as those
    of a query log, choose and measure the map. `progress` counts the embedded passages.
    Raises AdapterRefused, and InvalidInput for too few passages.
    """
    live, catalog, encode = kb.version, kb.internals.catalog, _caching_encoder(kb, to)
    for space in (live.space, to.space):
        space.require_one_vector("an embedding adapter")
    sample = sample_passages(kb, pairs)
    with catalog.read() as connection:
        ids, old = vectors_of(connection, live.space_id, live.space, ids=sample)
        chunks = chunks_of(connection, ids.tolist())
    rows: list[Vectors] = []
    for block in in_blocks(chunks, _BATCH):
        rows.append(encode(block))
        progress(Progress("embedding", sum(map(len, rows)), len(chunks), "passages"))
    new = Vectors.concatenate(rows) if rows else Vectors(np.zeros((0, to.space.dim), np.float32), to.space)
    query_pairs = None
    if queries is not None:
        texts = list(dict.fromkeys(queries))
        query_pairs = VectorPairs(kb.encoder.encode(texts, role="query"), to.encode(texts, role="query"))
    return fit_adapter(old, new, queries=query_pairs, settings=settings)


def _caching_encoder(kb: Collection, to: Encoder) -> Callable[[Sequence[Chunk]], Vectors]:
    """A function that embeds passages, through the vector cache if a version of that model is being built."""
    with kb.internals.catalog.read() as connection:
        building = [one for one in versions.all_versions(connection, ["building"]) if one.space == to.space]

    def encode(chunks: Sequence[Chunk]) -> Vectors:
        if not building:
            return to.encode([chunk.embed_text for chunk in chunks], role="document")
        for _ in embed_slices(kb.internals.catalog, kb.internals.serving.target(building[0].id), chunks):
            pass
        hashes = [chunk.text_hash for chunk in chunks]
        with kb.internals.catalog.read() as connection:
            rows = vector_cache.get(connection, building[0].space_id, "document", hashes=hashes)
        return Vectors(np.stack([rows[one] for one in hashes]), to.space)

    return encode


def embed_in_order(
    kb: Collection, version: str, ids: Int[np.ndarray, " n"], *, options: EmbedOptions | None = None
) -> Iterator[EmbeddingCounts]:
    """Embed passages for a version that is being built, in this order, a slice or a server's lot at a time.

    Each slice is committed, and the build does not embed it again. Passages removed since are skipped.
    """
    target = kb.internals.serving.target(kb.versions.get(version).id)
    options = options or EmbedOptions()
    together = target.lot.chunks if isinstance(target.encoder, MeteredEncoder) else options.slice_texts
    for block in in_blocks(ids, together):
        some = np.sort(block).tolist()
        with kb.internals.catalog.read() as connection:
            chunks = chunks_of(connection, some)
        yield from embed_slices(kb.internals.catalog, target, chunks, options=options)
