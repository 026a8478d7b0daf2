"""Projections and clusters as they were fitted, and their files in a version's derived folder.

A file is safetensors: arrays, and the stamp as JSON in its header. It is a cache: missing, damaged, of another space or
of another history it is fitted anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.versions import Version
from gnomon.core.errors import InvalidInput
from gnomon.core.files import replacing, storage_errors
from gnomon.core.serialize import from_plain, to_plain

ProjectionName = Literal["pca", "umap"]
PRINCIPAL: ProjectionName = "pca"
UMAP: ProjectionName = "umap"
PROJECTIONS: tuple[ProjectionName, ...] = get_args(ProjectionName)
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a fit was made of: the collection, the space, and the journal position of the chunks."""

    format: int
    collection: str
    space: str
    chunking: int
    seq: int
    nonce: int

    @classmethod
    def at(cls, connection: Connection, collection: str, version: Version, *, seq: int) -> Stamp:
        """That of a version's chunks at a journal position."""
        nonce = queries.nonce_at(connection, seq, version.chunking_id) or 0
        return cls(_FORMAT, collection, version.space.fingerprint, version.chunking_id, seq, nonce)

    def holds(self, connection: Connection, now: Stamp) -> bool:
        """Whether chunk ids mean the same still: the same collection and space, and a position of this history."""
        mine = (self.format, self.collection, self.space, self.chunking)
        if mine != (now.format, now.collection, now.space, now.chunking) or self.seq > now.seq:
            return False
        return queries.nonce_at(connection, self.seq, self.chunking) == self.nonce


@dataclass(frozen=True, slots=True)
class ClusterLabel:
    """A cluster: its number, how many chunks it has, and the words that tell it from the others, best first."""

    cluster: int
    size: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """Three words, as they stand on the map."""
        return ", ".join(self.words[:3])


@dataclass(frozen=True, eq=False)
class PrincipalFit:
    """Principal components and clusters: what both say of any vector, and the chunks' positions.

    `share` of the variance is in the two components; `words` are those of each cluster.
    """

    stamp: Stamp
    ids: Int[np.ndarray, " chunks"]
    positions: Float[np.ndarray, "chunks 2"]
    clusters: Int[np.ndarray, " chunks"]
    mean: Float[np.ndarray, " dim"]
    axes: Float[np.ndarray, "dim 2"]
    centroids: Float[np.ndarray, "clusters dim"]
    share: float
    words: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class UmapFit:
    """UMAP's positions of the chunks that it was fitted on."""

    stamp: Stamp
    ids: Int[np.ndarray, " chunks"]
    positions: Float[np.ndarray, "chunks 2"]


Fit = TypeVar("Fit", PrincipalFit, UmapFit)
_FILES: dict[type, str] = {PrincipalFit: "map-pca.safetensors", UmapFit: "map-umap.safetensors"}


def fit_path(folder: Path, kind: type[PrincipalFit] | type[UmapFit]) -> Path:
    """The file of a kind of fit in a version's derived folder."""
    return folder / _FILES[kind]


def save_fit(folder: Path, fit: PrincipalFit | UmapFit) -> None:
    """Write a fit's file, atomically. Raises StorageError where the disk refuses."""
    from safetensors.numpy import save_file

    values = {name: getattr(fit, name) for name in fit.__dataclass_fields__}
    arrays = {name: np.ascontiguousarray(value) for name, value in values.items() if isinstance(value, np.ndarray)}
    plain = {name: to_plain(value) for name, value in values.items() if name not in arrays}
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(fit_path(folder, type(fit))) as path:
            save_file(arrays, path, metadata={"gnomon": json.dumps(plain)})


def load_fit(folder: Path, kind: type[Fit]) -> Fit | None:
    """The fit as it was saved; None where there is none, or its file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(fit_path(folder, kind), framework="np") as file:
            values: dict[str, Any] = json.loads((file.metadata() or {})["gnomon"])
            values |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return _checked(kind, values)
    except (OSError, ValueError, KeyError, TypeError, InvalidInput, SafetensorError):
        return None


def _checked(kind: type[Fit], values: Mapping[str, Any]) -> Fit:
    """The fit of values read from a file. Raises ValueError where arrays do not belong together."""
    values = {**values, "stamp": from_plain(Stamp, values["stamp"])}
    if kind is PrincipalFit:
        values["words"] = tuple(tuple(map(str, words)) for words in values["words"])
    fit = kind(**values)
    count = len(fit.ids)
    shapes = [fit.positions.shape == (count, 2), bool(np.isfinite(fit.positions).all())]
    if isinstance(fit, PrincipalFit):
        clusters, dim = fit.centroids.shape
        shapes += [fit.mean.shape == (dim,), fit.axes.shape == (dim, 2), fit.clusters.shape == (count,)]
        shapes += [len(fit.words) == clusters, count == 0 or int(fit.clusters.max()) < clusters]
    if not all(shapes):
        raise ValueError("arrays that do not belong together")
    return fit
