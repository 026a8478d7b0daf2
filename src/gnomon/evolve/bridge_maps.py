"""The maps a bridge is chosen from: a new model's queries to where their answers lie among old vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.vectors import Vectors
from gnomon.evolve.bridge_ranked import RankedSettings, ranked_map, through, with_hidden
from gnomon.kernels.bridging import affine, rotation

Kind = Literal["rotation", "affine", "scores", "ranked", "residual"]
KINDS: tuple[Kind, ...] = ("rotation", "affine", "ranked")
"""What is tried. `scores` finds as many of the nearest, but less of what is relevant; `residual` takes
twice as long for no more: docs/bridge.md."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """The same texts in the old and in the new space, row by row; of a cosine space, at length one."""

    old: Vectors
    new: Vectors

    def __post_init__(self) -> None:
        if len(self.old) != len(self.new):
            raise InvalidInput(
                f"{len(self.old)} old and {len(self.new)} new vectors", wanted="one of each for every text"
            )
        object.__setattr__(self, "old", Vectors(comparable(self.old), self.old.space))
        object.__setattr__(self, "new", Vectors(comparable(self.new), self.new.space))

    def take(self, rows: Array) -> Pairs:
        """The pairs at these positions."""
        return Pairs(self.old.take(rows), self.new.take(rows))


def comparable(vectors: Vectors) -> Float[np.ndarray, "n dim"]:
    """The rows as their space compares them: for cosine at length one, a zero row as it is."""
    if vectors.space.similarity != "cosine":
        return vectors.data
    lengths = np.linalg.norm(vectors.data, axis=1, keepdims=True)
    return np.asarray(vectors.data / np.where(lengths == 0, 1, lengths), dtype=np.float32)


def mapped_rows(arrays: Mapping[str, Array], rows: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n b"]:
    """Rows of the new space where their like lie in the old one; lengths are the map's own."""
    return np.asarray(through(arrays, rows), dtype=np.float32)


def rises(
    arrays: Mapping[str, Array], rows: Float[np.ndarray, "n a"], passages: Vectors
) -> Float[np.ndarray, "n passages"]:
    """What a bridge ranks old passages by: each mapped query's products with them."""
    return np.asarray(mapped_rows(arrays, rows) @ comparable(passages).T)


def fitted_map(kind: Kind, pairs: Pairs, training: RankedSettings) -> dict[str, Array]:
    """A map of one kind. All are fitted to passages; `mean` is that of the new ones."""
    old, new = pairs.old.data, pairs.new.data
    arrays = _MAPS[kind](old, new, training)
    mean = new.mean(axis=0, dtype=np.float64)
    return {name: np.asarray(value, np.float32) for name, value in {**arrays, "mean": mean}.items()}


def _rotation(old: Array, new: Array, _: RankedSettings) -> dict[str, Array]:
    """Turned about the means: without them, what turns is mostly the direction that all vectors share."""
    middle = new.mean(axis=0, dtype=np.float64)
    weights = rotation(new - middle, old - old.mean(axis=0, dtype=np.float64))
    return {"weights": weights, "offset": -middle @ weights}


def _affine(old: Array, new: Array, _: RankedSettings) -> dict[str, Array]:
    weights, offset = affine(new, old, ridge=0.3, rank=min(old.shape[1], new.shape[1]) // 2)
    return {"weights": weights, "offset": offset}


def _scores(old: Array, new: Array, _: RankedSettings) -> dict[str, Array]:
    """From old passages to new ones, and its transpose for queries.

    q (B d + b) is the best linear guess of the new model's score of a passage that only the old one has
    embedded. It is (B' q) d but for what is the same for all passages: the search among the old vectors.
    """
    weights, _offset = affine(old, new, ridge=0.01)
    return {"weights": weights.T, "offset": np.zeros(old.shape[1])}


def _ranked(old: Array, new: Array, training: RankedSettings) -> dict[str, Array]:
    """From the rotation on: it has lost nothing yet of what tells passages apart."""
    return ranked_map(new, old, _rotation(old, new, training), training)


def _residual(old: Array, new: Array, training: RankedSettings) -> dict[str, Array]:
    """From the ranked map on, with a hidden layer beside it."""
    start = with_hidden(_ranked(old, new, training), training)
    return ranked_map(new, old, start, training)


_MAPS: Mapping[Kind, Callable[[Array, Array, RankedSettings], dict[str, Any]]] = {
    "rotation": _rotation,
    "affine": _affine,
    "scores": _scores,
    "ranked": _ranked,
    "residual": _residual,
}
