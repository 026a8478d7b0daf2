"""The map of a collection's version: fitted when it is first asked for, kept on disk, brought up to the documents."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Float, Int

from gnomon.collection import Collection
from gnomon.collection.catalog import queries
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.state import derived_folder
from gnomon.collection.serving.snapshot import Snapshot
from gnomon.core.errors import CollectionBusy, InvalidInput, StorageError
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.ranking import Hit
from gnomon.core.serialize import to_plain
from gnomon.core.similarity import normalise
from gnomon.kernels.geometry import inverse_distance_mean
from gnomon.map import background
from gnomon.map.chunk_vectors import ChunkVectors
from gnomon.map.colours import ColourColumn, ColourField, colour_column, colour_fields
from gnomon.map.fits import (
    PRINCIPAL,
    PROJECTIONS,
    UMAP,
    ClusterLabel,
    PrincipalFit,
    ProjectionName,
    Stamp,
    UmapFit,
    fit_path,
    load_fit,
    save_fit,
)
from gnomon.map.fitting import FEWEST, MISSING, fit_principal, fit_umap, umap_is_installed
from gnomon.map.layout import MapPoints, cluster_labels, is_outdated, principal_points, umap_points

LOCK = "map.lock"
Fit = TypeVar("Fit", PrincipalFit, UmapFit)


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """How a projection stands: "ready", "computing" (not there yet), "missing", "unavailable" or "failed".

    `placed` chunks came after it was fitted and stand by its rule; `is_updating`: it is being fitted anew. `reason`
    says why it is unavailable or failed.
    """

    name: ProjectionName
    state: Literal["ready", "computing", "missing", "unavailable", "failed"]
    placed: int = 0
    is_updating: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MapState:
    """What there is to draw: the version, how many chunks, both projections, and the clusters, largest first.

    `variance` is the share that the two principal components hold. `seq` is the journal position of the points.
    """

    version: Version
    seq: int
    points: int
    variance: float
    projections: tuple[ProjectionState, ...]
    clusters: tuple[ClusterLabel, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping; the version by its name and its space's fingerprint."""
        plain = {name: to_plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "version"}
        return {"version": self.version.name, "space": self.version.space.fingerprint, **plain}


@dataclass(frozen=True, slots=True)
class ChunkText:
    """What is shown of a chunk: its document's id and title, its first words, and its offsets in the document."""

    id: int
    document: str
    title: str
    snippet: str
    start: int
    end: int


def shortened(text: str, characters: int = 240) -> str:
    """The first words of a text, on one line.

    >>> shortened("one two three", 8)
    'one two…'
    """
    line = " ".join(text[: 4 * characters].split())
    return line if len(line) <= characters else line[: characters + 1].rpartition(" ")[0] + "…"


@dataclass(frozen=True, eq=False)
class PlacedQuery:
    """A query on the map: its position [2], and its nearest chunks with theirs [k, 2], nearest first."""

    version: Version
    position: Float[np.ndarray, " 2"]
    hits: tuple[Hit, ...]
    positions: Float[np.ndarray, "k 2"]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The principal components of one version at one journal position, with what they are made of."""

    now: Stamp
    vectors: ChunkVectors
    fit: PrincipalFit
    points: MapPoints


class CollectionMap:
    """A 2-D map of the version that serves in an open collection. Thread-safe.

    Principal components and clusters are fitted when first asked for (seconds for 100,000 chunks). UMAP, which takes
    minutes, is fitted by `start_umap` in a process of low priority, or by `fit_umap` here. Both are kept in the
    version's derived folder and may be deleted at any time. Chunks that came later are put in beside the others; once
    a fifth of the chunks changed, a projection is fitted anew.
    """

    def __init__(self, kb: Collection) -> None:
        self._kb, self._lock = kb, threading.Lock()
        self._drawn: _Drawn | None = None
        self._umap: tuple[int, UmapFit] | None = None
        self._umap_points: MapPoints | None = None
        self._process: background.UmapProcess | None = None

    def state(self, *, progress: ProgressCallback = no_progress) -> MapState:
        """What there is to draw; fits the principal components where they are not there yet."""
        drawn = self._draw(progress)
        ready = ProjectionState(PRINCIPAL, "ready", drawn.points.placed)
        return MapState(
            version=drawn.points.version,
            seq=drawn.now.seq,
            points=len(drawn.points),
            variance=drawn.fit.share,
            projections=(ready, self._umap_state(drawn)),
            clusters=cluster_labels(drawn.fit, drawn.points),
        )

    def points(self, projection: ProjectionName = PRINCIPAL) -> MapPoints:
        """Every chunk as a point. Raises InvalidInput for another projection, and for one that is not fitted yet."""
        if projection not in PROJECTIONS:
            raise InvalidInput(f"the projection {projection!r}", expected=f"one of {', '.join(PROJECTIONS)}")
        drawn = self._draw()
        if projection == PRINCIPAL:
            return drawn.points
        found = self._umap_drawn(drawn)
        if found is None:
            raise InvalidInput(
                "UMAP of this collection is not there yet",
                expected="a projection that is ready",
                hint="fit it: gnomon map KB --umap",
            )
        return found

    def colour_fields(self) -> tuple[ColourField, ...]:
        """The fields that points can be coloured by."""
        with self._kb.internals.catalog.read() as connection:
            return colour_fields(connection)

    def colours(self, field: str) -> tuple[ColourColumn, MapPoints]:
        """A field's value of every chunk, and the points in whose order they are.

        Raises InvalidInput for a field that no document has.
        """
        drawn = self._draw()
        with self._kb.internals.catalog.read() as connection:
            column = colour_column(connection, drawn.points.version.chunking_id, drawn.vectors.ids, field=field)
        return column, drawn.points

    def texts(self, ids: Sequence[int]) -> list[ChunkText]:
        """Title and first words of these chunks, in this order; those that are not there are left out."""
        with self._kb.internals.catalog.read() as connection:
            rows = queries.chunk_rows(connection, ids)
        found = (rows[each] for each in ids if each in rows)
        return [ChunkText(row.id, row.key, row.title, shortened(row.text), row.start, row.end) for row in found]

    def neighbours(self, k: int) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
        """The `k` nearest other chunks of every chunk, as places in the points' order, with distances; exact.

        Distances are euclidean, of vectors of length 1 where the space compares angles. Costs a product of all with
        all: a minute for 100,000.
        """
        import faiss

        vectors = self._draw().vectors
        rows = vectors.take(np.arange(len(vectors)))
        squared, nearest = faiss.knn(rows, rows, min(k + 1, len(rows)))
        # Of equal vectors another one than the chunk itself may come first.
        itself = nearest == np.arange(len(rows))[:, None]
        itself[~itself.any(axis=1), -1] = True
        shape = (len(rows), max(0, nearest.shape[1] - 1))
        return nearest[~itself].reshape(shape), np.sqrt(np.maximum(squared, 0))[~itself].reshape(shape)

    def place(self, query: str, projection: ProjectionName = PRINCIPAL, *, k: int = 10) -> PlacedQuery:
        """A query among the chunks, with its `k` nearest ones by similarity alone; loads the model.

        In the principal components it stands exactly; in UMAP at the mean of these chunks' positions, weighted by
        the inverse squares of their distances. Raises as `points` and `Collection.search` do.
        """
        if not query.strip():
            raise InvalidInput("an empty query", expected="a text")
        points = self.points(projection)
        drawn = self._draw()
        snapshot = self._kb.internals.snapshot()
        encoded = snapshot.served.encoders.for_searches().encode([query], role="query")
        hits = self._kb.search(encoded, k=k, mode="dense", collapse=False)
        at, found = points.places(np.array([hit.chunk_id for hit in hits], dtype=np.int64))
        shown = tuple(hit for hit, there in zip(hits, found.tolist(), strict=True) if there)
        row = encoded.pooled()
        row = normalise(row, allow_zero=True) if drawn.vectors.compares_angles else row
        if projection == PRINCIPAL or not shown:
            position = ((row - drawn.fit.mean) @ drawn.fit.axes)[0]
        else:
            near = np.linalg.norm(drawn.vectors.take(at) - row, axis=1)
            position = inverse_distance_mean(points.positions[at][None].astype(np.float64), near[None])[0]
        return PlacedQuery(points.version, position.astype(np.float32), shown, points.positions[at])

    def fit_umap(self, *, progress: ProgressCallback = no_progress) -> None:
        """Fit UMAP here and now, and keep it on disk.

        Raises CollectionBusy while another process does so, and as `fitting.fit_umap` does.
        """
        folder = self._folder(self._kb.version)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(folder / LOCK, timeout=0):
                snapshot = self._kb.internals.snapshot()
                fit = fit_umap(ChunkVectors(snapshot.indexes.local), self._stamp(snapshot), progress=progress)
                save_fit(folder, fit)
        except Timeout as error:
            raise CollectionBusy(
                "another process fits UMAP of this collection",
                expected="one at a time",
                hint="wait until it is done",
            ) from error

    def start_umap(self) -> bool:
        """Fit UMAP in a process of low priority, unless it is up to date, being fitted, or has failed here before.

        Returns whether it was started.
        """
        drawn = self._draw()
        state = self._umap_state(drawn)
        is_current = state.state == "ready" and self._umap and not is_outdated(self._umap[1].ids, drawn.vectors.ids)
        cannot = state.state in ("computing", "unavailable", "failed") or not umap_is_installed()
        if is_current or cannot or state.is_updating or (self._process is not None and self._process.failure()):
            return False
        self._process = background.start_umap(self._kb.internals.catalog, drawn.points.version.name)
        return True

    def close(self) -> None:
        """End the process that fits UMAP, where there is one: it begins anew when it is next asked for."""
        if self._process is not None:
            self._process.stop()

    def _folder(self, version: Version) -> Path:
        return derived_folder(self._kb.internals.folder, version)

    def _stamp(self, snapshot: Snapshot) -> Stamp:
        catalog = self._kb.internals.catalog
        with catalog.read() as connection:
            return Stamp.at(connection, catalog.collection_id, snapshot.version, seq=snapshot.indexes.dense_at)

    def _draw(self, progress: ProgressCallback = no_progress) -> _Drawn:
        snapshot = self._kb.internals.snapshot()
        version, seq = snapshot.version, snapshot.indexes.dense_at
        with self._lock:
            drawn = self._drawn
            if drawn is not None and (drawn.points.version.id, drawn.now.seq) == (version.id, seq):
                return drawn
            vectors = ChunkVectors(snapshot.indexes.local)
            now = self._stamp(snapshot)
            known = drawn.fit if drawn is not None and drawn.points.version.id == version.id else None
            fit = known or self._loaded(version, PrincipalFit, now)
            if fit is None or is_outdated(fit.ids, vectors.ids):
                fit = fit_principal(vectors, now, self._texts, progress=progress)
                with suppress(StorageError, OSError):  # a cache: where it cannot be kept, it is made again
                    save_fit(self._folder(version), fit)
            points = principal_points(fit, vectors, version=version, seq=seq)
            self._drawn = _Drawn(now, vectors, fit, points)
            return self._drawn

    def _loaded(self, version: Version, kind: type[Fit], now: Stamp) -> Fit | None:
        """The fit on disk, if it is of this version's chunks and vectors."""
        fit = load_fit(self._folder(version), kind)
        if fit is None:
            return None
        with self._kb.internals.catalog.read() as connection:
            return fit if fit.stamp.holds(connection, now) else None

    def _texts(self, ids: Int[np.ndarray, " some"]) -> list[str]:
        with self._kb.internals.catalog.read() as connection:
            _, titles, texts = queries.texts_of(connection, ids)
        return [f"{title} {text}" for title, text in zip(titles, texts, strict=True)]

    def _umap_drawn(self, drawn: _Drawn) -> MapPoints | None:
        """UMAP's points of the same chunks; None where it is not fitted."""
        path = fit_path(self._folder(drawn.points.version), UmapFit)
        try:
            written = path.stat().st_mtime_ns
        except OSError:
            return None
        with self._lock:
            if self._umap is None or self._umap[0] != written:
                fit = self._loaded(drawn.points.version, UmapFit, drawn.now)
                if fit is None:
                    return None
                self._umap, self._umap_points = (written, fit), None
            if self._umap_points is None or self._umap_points.ids is not drawn.vectors.ids:
                self._umap_points = umap_points(self._umap[1], drawn.points, drawn.vectors)
            return self._umap_points

    def _umap_state(self, drawn: _Drawn) -> ProjectionState:
        points, catalog = self._umap_drawn(drawn), self._kb.internals.catalog
        is_fitting = self._is_fitting(drawn.points.version)
        if points is not None:
            return ProjectionState(UMAP, "ready", points.placed, is_fitting)
        if is_fitting:
            return ProjectionState(UMAP, "computing")
        if not umap_is_installed():
            return ProjectionState(UMAP, "unavailable", reason=MISSING)
        if len(drawn.vectors) < FEWEST:
            return ProjectionState(UMAP, "unavailable", reason=f"UMAP takes at least {FEWEST} chunks")
        if catalog.is_read_only:
            return ProjectionState(UMAP, "unavailable", reason="the collection is read-only")
        failure = self._process.failure() if self._process is not None else ""
        return ProjectionState(UMAP, "failed" if failure else "missing", reason=failure)

    def _is_fitting(self, version: Version) -> bool:
        """Whether this process's child, or any other process, fits UMAP now."""
        if self._process is not None and self._process.is_running:
            return True
        path = self._folder(version) / LOCK
        if not path.exists():
            return False
        try:
            FileLock(path).acquire(timeout=0).lock.release()
        except Timeout:
            return True
        except OSError:  # a read-only folder, where nobody fits
            return False
        return False
