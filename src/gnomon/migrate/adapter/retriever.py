"""A collection whose next version is being built, already searched by that version's model.

The live version's vectors are reached through a bridge; what the build has embedded so far is searched as it
is. Words are searched beside, as the collection does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Int
from sqlalchemy import exists, func, select

from gnomon.collection.catalog import queries, schema, vector_cache, versions
from gnomon.collection.catalog.queries import chunks_of, vectors_of
from gnomon.collection.catalog.versions import Version
from gnomon.collection.collection import Collection
from gnomon.collection.evaluation import GROUP_DEPTH
from gnomon.collection.ingest.writer import SLICE_TEXTS, EmbeddingCounts, embed_slices
from gnomon.collection.search import build_retriever, checked_queries
from gnomon.collection.serving.snapshot import Snapshot
from gnomon.collection.settings import By, Mode
from gnomon.core.contracts import Array, Encoder, Retriever
from gnomon.core.documents import Chunk
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Hit, Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.index.scan import ScanIndex
from gnomon.migrate.adapter.files import kept_bridge
from gnomon.migrate.adapter.fit import Bridge, BridgeSettings, fit_bridge
from gnomon.migrate.adapter.maps import Pairs
from gnomon.migrate.adapter.search import HandOver
from gnomon.retrieve import Fuse
from gnomon.retrieve.where import Condition

_LEARNT, _SLICE = 4000, 256
Side = Literal["new", "bridged", "words"]


@dataclass(frozen=True, slots=True)
class Handed:
    """How far the hand-over is: passages with a new vector, and those that wait for one."""

    handed: int
    waiting: int

    @property
    def share(self) -> float:
        """The part that is handed over."""
        return self.handed / (self.handed + self.waiting) if self.handed or self.waiting else 1.0


class Bridged:
    """A Retriever: new-model queries over old and new vectors; `search` gives hits. Made by `bridged`.

    Passages that were taken out are found no more at once; those embedded since are, after `refresh`. Once
    the version has gone live it serves as any. Stages of search that need vectors of one space (Rocchio,
    neighbours) wait until then, and so does a second model.
    """

    def __init__(self, kb: Collection, version: Version, bridge: Bridge, mode: Mode | None) -> None:
        self._kb, self._version, self._bridge = kb, version, bridge
        self._mode = mode or version.retrieval.mode
        self._encoders = kb.internals.serving.served_version(version.id).encoders
        self._lock = threading.Lock()
        self._new = ScanIndex(bridge.new)
        self._known: Array = np.zeros(0, dtype=np.int64)
        self._state: _State | None = None
        self.refresh()

    def refresh(self) -> Handed:
        """Take in what has been embedded since, and say how far it is."""
        state = self._looked(self._kb.internals.serving.snapshot(), anew=True)
        return Handed(len(state.new), len(state.waiting))

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` passages for each query, best first."""
        pinned = self._kb.internals.serving.snapshot()
        if pinned.version.space == self._bridge.new:
            return pinned.retriever(self._mode, None, self._encoders.for_searches)(queries, k=k)
        return self._retriever(pinned)(queries, k=k)

    def search(self, query: str, *, k: int = 10, by: By = "chunk", where: str | Condition | None = None) -> list[Hit]:
        """As `Collection.search`. Which side a hit was found on, `side_of` says."""
        (asked,) = checked_queries([query], k, by)
        if where is not None:
            asked = replace(asked, where=self._kb.chunk_ids(where))
        (ranking,) = self([asked], k=k if by == "chunk" else max(k, GROUP_DEPTH))
        return self._kb.hits(query, ranking, k=k, by=by)

    def _retriever(self, pinned: Snapshot) -> Retriever:
        settings = replace(self._version.retrieval, rocchio=None, neighbours=None, rerank=None)
        words = build_retriever(
            "lexical",
            settings,
            encoder=None,
            dense=pinned.indexes.dense,
            lexical=pinned.indexes.lexical,
            lookups=pinned.served.lookups(),
        )
        if self._mode == "lexical":
            return words
        state = self._state
        if state is None or state.position != pinned.indexes.dense_at:
            state = self._looked(pinned)
        encoder = self._encoders.for_searches()
        dense = HandOver(encoder, self._bridge, pinned.indexes.dense, state.new, state.waiting)
        return dense if self._mode == "dense" else Fuse((dense, words), settings.fuse)

    def _looked(self, pinned: Snapshot, *, anew: bool = False) -> _State:
        """What is handed over and what waits, in this view of the collection; `anew`: what has come since."""
        space = self._bridge.new
        with self._lock:
            self._bridge.old.require(pinned.version.space)
            with self._kb.internals.catalog.read() as connection:
                every = queries.all_ids(connection, pinned.version.chunking_id)
                others = np.setdiff1d(every, self._known, assume_unique=True)
                if anew:
                    fresh, rows = queries.vectors_of(connection, self._version.space_id, space, others)
                    if len(fresh):
                        self._new.add(fresh, Vectors(rows, space))
                    self._known = np.union1d(self._known, fresh)
            self._new.remove(np.setdiff1d(self._known, every, assume_unique=True))
            self._known = np.intersect1d(self._known, every, assume_unique=True)
            waiting = np.setdiff1d(every, self._known, assume_unique=True)
            self._state = _State(pinned.indexes.dense_at, self._new.pinned(), waiting)
            return self._state


@dataclass(frozen=True, eq=False)
class _State:
    """At a position of the journal: the index of what is handed over, and the ids that wait."""

    position: int
    new: ScanIndex
    waiting: Array


def side_of(hit: Hit) -> Side:
    """What a hit of `Bridged.search` is there by: its new vector, its old one through the bridge, or words.

    Scores of both sides are the new model's, or calibrated to be. One that words found too is not of "words".
    """
    if not np.isnan(hit.stages.get("bridged", np.nan)):
        return "bridged"
    return "words" if np.isnan(hit.stages.get("dense", np.nan)) else "new"


def bridged(kb: Collection, version: str, bridge: Bridge | None = None, *, mode: Mode | None = None) -> Bridged:
    """A collection, searched by the model of a version that is being built.

    Without `bridge`, the one that `gnomon migrate --bridge` fitted. `mode` is as in a search; None: as the
    version is to be searched. Raises NotReady where no bridge serves, SpaceMismatch where it is not between
    the live version's model and this one's, InvalidInput where their passages differ.
    """
    found, live = kb.versions.get(version), kb.version
    if bridge is None:
        bridge = kept_bridge(kb, version)
    bridge.old.require(live.space)
    bridge.new.require(found.space)
    if found.chunking_id != live.chunking_id:
        raise InvalidInput(
            f"{found.name} has other passages than {live.name}",
            expected="versions of the same passages, each with a vector of both models in the end",
            hint=f"let {live.name} serve until {found.name} is built",
        )
    return Bridged(kb, found, bridge, mode)


def handed(kb: Collection, version: str) -> Handed:
    """How many passages of a version have their vector, and how many wait; loads no model."""
    found = kb.versions.get(version)
    chunk, vector = schema.chunks.c, schema.vectors.c
    every = select(func.count()).where(chunk.chunking_id == found.chunking_id)
    own = (vector.space_id == found.space_id, vector.role == "document", vector.text_hash == chunk.text_hash)
    with kb.internals.catalog.read() as connection:
        total = int(connection.execute(every).scalar_one())
        done = int(connection.execute(every.where(exists().where(*own))).scalar_one())
    return Handed(done, total - done)


def drawn_passages(kb: Collection, many: int) -> Int[np.ndarray, " drawn"]:
    """Ids of passages that a bridge is to be fitted on, drawn as if at random, rising.

    Each one's lot is its own (a mixing of its id: Steele, Lea and Flood 2014, SplitMix), so that after a few
    writes nearly the same ones are drawn.
    """
    with kb.internals.catalog.read() as connection:
        every = queries.all_ids(connection, kb.version.chunking_id)
    lots = every.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        lots = (lots ^ (lots >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray(np.sort(every[np.argsort(lots ^ (lots >> np.uint64(31)), kind="stable")[:many]]))


def bridge_for(
    kb: Collection,
    to: Encoder,
    *,
    pairs: int = _LEARNT,
    queries: Sequence[str] | None = None,
    settings: BridgeSettings | None = None,
    said: Callable[[int, int], None] = lambda done, of: None,
) -> Bridge:
    """A bridge from another model to the one that serves, fitted on `pairs` of its passages, drawn at random.

    What is embedded is kept where a version of that model is being built: a passage that the map was fitted
    on is handed over at once. `queries`, such as those of a log, choose and measure the map. `said` is told
    how many of how many passages are embedded. Raises BridgeRefused, and InvalidInput for too few passages.
    """
    live, catalog, encode = kb.version, kb.internals.catalog, _kept_by(kb, to)
    drawn = drawn_passages(kb, pairs)
    with catalog.read() as connection:
        ids, old = vectors_of(connection, live.space_id, live.space, drawn)
        chunks = chunks_of(connection, ids.tolist())
    rows = []
    for at in range(0, len(chunks), _SLICE):
        rows.append(encode(chunks[at : at + _SLICE]))
        said(min(at + _SLICE, len(chunks)), len(chunks))
    new = Vectors.concatenate(rows) if rows else Vectors(np.zeros((0, to.space.dim), np.float32), to.space)
    asked = None
    if queries is not None:
        texts = list(dict.fromkeys(queries))
        asked = Pairs(kb.encoder.encode(texts, role="query"), to.encode(texts, role="query"))
    return fit_bridge(Vectors(old, live.space), new, queries=asked, settings=settings)


def _kept_by(kb: Collection, to: Encoder) -> Callable[[Sequence[Chunk]], Vectors]:
    """What embeds passages with a model, into the cache where a version of it is being built."""
    with kb.internals.catalog.read() as connection:
        building = [one for one in versions.all_versions(connection, ["building"]) if one.space == to.space]

    def encode(chunks: Sequence[Chunk]) -> Vectors:
        if not building:
            return to.encode([chunk.embed_text for chunk in chunks], role="document")
        target = replace(kb.internals.serving.target(building[0].id), encoder=to)
        for _ in embed_slices(kb.internals.catalog, target, chunks):
            pass
        hashes = [chunk.text_hash for chunk in chunks]
        with kb.internals.catalog.read() as connection:
            rows = vector_cache.get(connection, building[0].space_id, "document", hashes)
        return Vectors(np.stack([rows[one] for one in hashes]), to.space)

    return encode


def embed_in_order(
    kb: Collection, version: str, ids: Int[np.ndarray, " n"], *, slice_texts: int = SLICE_TEXTS
) -> Iterator[EmbeddingCounts]:
    """Embed passages for a version that is being built, in this order, a slice at a time.

    Every slice is kept, and the build finds it done. For the most-searched first: see `hot_order`. Passages
    that are gone by now are left out.
    """
    target = kb.internals.serving.target(kb.versions.get(version).id)
    for at in range(0, len(ids), slice_texts):
        some = np.sort(ids[at : at + slice_texts]).tolist()
        with kb.internals.catalog.read() as connection:
            chunks = chunks_of(connection, some)
        yield from embed_slices(kb.internals.catalog, target, chunks, slice_texts=slice_texts)
