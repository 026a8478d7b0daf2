"""The maps an adapter is chosen from: they take query vectors of the new model into the old model's space."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import normalise
from gnomon.core.vectors import Vectors
from gnomon.kernels.geometry import affine, rotation
from gnomon.kernels.statistics import softmax

Arrays = Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


@dataclass(frozen=True)
class MapTrainingSettings:
    """How the maps "ranked" and "residual" are trained. `temperature` divides scores before the softmax.

    `hidden` is the width of the residual map's hidden layer.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 1e-4
    weight_decay: float = 1e-4
    temperature: float = 0.01
    hidden: int = 128
    seed: int = 0


def train_ranked_map(
    new: Float[np.ndarray, "n a"],
    old: Float[np.ndarray, "n b"],
    start: Arrays,
    *,
    settings: MapTrainingSettings,
) -> dict[str, np.ndarray]:
    """Train the arrays of `start` (weights, offset, hidden layer) as a map from new [n, a] to old [n, b].

    The loss is the Kullback-Leibler divergence (as in distillation, Hinton 2015) between two softmaxes over
    each row's scores with the other rows of the batch: in the new space, and in the old space after the map.
    Adam (Kingma and Ba 2015) with a learning rate that falls linearly to zero.
    """
    draws = np.random.default_rng(settings.seed)
    values = {name: value.astype(np.float32) for name, value in start.items()}
    first = {name: np.zeros_like(value) for name, value in values.items()}
    second = {name: np.zeros_like(value) for name, value in values.items()}
    batch = min(settings.batch_size, len(new))
    per_epoch = len(new) // batch
    steps = settings.epochs * per_epoch
    for step in range(1, steps + 1):
        at = (step - 1) % per_epoch
        if at == 0:
            order = draws.permutation(len(new))
        rows = order[at * batch : (at + 1) * batch]
        rate = settings.learning_rate * (1 - (step - 1) / steps)
        for name, gradient in gradients(values, new[rows], old[rows], temperature=settings.temperature).items():
            first[name] += 0.1 * (gradient - first[name])
            second[name] += 0.001 * (gradient**2 - second[name])
            move = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
            values[name] -= rate * (move + settings.weight_decay * values[name])
    return values


def add_hidden_layer(start: Arrays, settings: MapTrainingSettings) -> dict[str, np.ndarray]:
    """Add a hidden layer that contributes nothing before training: the arrays `into`, `bias` and `out`."""
    wide, narrow = start["weights"].shape
    into = np.random.default_rng(settings.seed).normal(0, wide**-0.5, (wide, settings.hidden))
    nothing = {"bias": np.zeros(settings.hidden), "out": np.zeros((settings.hidden, narrow))}
    return {**start, "into": into, **nothing}


def apply_map(values: Arrays, rows: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n b"]:
    """Rows after the map, linear part and hidden layer."""
    mapped = rows @ values["weights"] + values["offset"]
    if "into" in values:
        mapped += np.maximum(rows @ values["into"] + values["bias"], 0) @ values["out"]
    return np.asarray(mapped)


def gradients(
    values: Arrays, new: Float[np.ndarray, "n a"], old: Float[np.ndarray, "n b"], *, temperature: float
) -> dict[str, np.ndarray]:
    """The gradient of the mean divergence with respect to each array of `values`."""
    target = softmax(_without_self(new @ new.T) / temperature)
    mapped = softmax(_without_self(apply_map(values, new) @ old.T) / temperature)
    by_mapped = (mapped - target) @ old / (temperature * len(new))
    found = {"weights": new.T @ by_mapped, "offset": by_mapped.sum(0)}
    if "into" in values:
        hidden = np.maximum(new @ values["into"] + values["bias"], 0)
        by_hidden = by_mapped @ values["out"].T * (hidden > 0)
        found |= {"out": hidden.T @ by_mapped, "into": new.T @ by_hidden, "bias": by_hidden.sum(0)}
    return found


def _without_self(scores: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Masks each row's score with itself."""
    np.fill_diagonal(scores, -np.inf)
    return scores


MapKind = Literal["rotation", "affine", "scores", "ranked", "residual"]
MAP_KINDS: tuple[MapKind, ...] = ("rotation", "affine", "ranked")
"""The kinds tried by default. `scores` has as high a recall of the nearest, but ranks relevant passages lower;
`residual` takes twice as long for no higher recall: docs/embedding-adapter.md."""


@dataclass(frozen=True, eq=False)
class VectorPairs:
    """The same texts embedded in the old and in the new space, row by row; unit length in cosine spaces."""

    old: Vectors
    new: Vectors

    def __post_init__(self) -> None:
        if len(self.old) != len(self.new):
            raise InvalidInput(
                f"{len(self.old)} old and {len(self.new)} new vectors", expected="one of each for every text"
            )
        object.__setattr__(self, "old", Vectors(normalized(self.old), self.old.space))
        object.__setattr__(self, "new", Vectors(normalized(self.new), self.new.space))

    def take(self, rows: Array) -> VectorPairs:
        """The pairs at these positions."""
        return VectorPairs(self.old.take(rows), self.new.take(rows))


def normalized(vectors: Vectors) -> Float[np.ndarray, "n dim"]:
    """The rows, in a cosine space scaled to unit length; zero rows stay zero."""
    if vectors.space.similarity != "cosine":
        return vectors.data
    return normalise(vectors.data, allow_zero=True)


def map_queries(arrays: Mapping[str, Array], rows: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n b"]:
    """Rows of the new space taken into the old one, float32, not normalized."""
    return np.asarray(apply_map(arrays, rows), dtype=np.float32)


def adapted_scores(
    arrays: Mapping[str, Array], rows: Float[np.ndarray, "n a"], passages: Vectors
) -> Float[np.ndarray, "n passages"]:
    """Dot products of the mapped queries with the old passages [n, passages]."""
    return np.asarray(map_queries(arrays, rows) @ normalized(passages).T)


def fit_map(kind: MapKind, pairs: VectorPairs, training: MapTrainingSettings) -> dict[str, Array]:
    """Fit a map of one kind to pairs of passages. The array `mean` is the mean of the new vectors."""
    old, new = pairs.old.data, pairs.new.data
    arrays = _MAPS[kind](old, new, training)
    mean = new.mean(axis=0, dtype=np.float64)
    return {name: np.asarray(value, np.float32) for name, value in {**arrays, "mean": mean}.items()}


def _rotation(old: Array, new: Array, _: MapTrainingSettings) -> dict[str, Array]:
    """Orthogonal Procrustes on centred vectors: uncentred, the direction that all vectors share would dominate."""
    middle = new.mean(axis=0, dtype=np.float64)
    weights = rotation(new - middle, old - old.mean(axis=0, dtype=np.float64))
    return {"weights": weights, "offset": -middle @ weights}


def _affine(old: Array, new: Array, _: MapTrainingSettings) -> dict[str, Array]:
    weights, offset = affine(new, old, ridge=0.3, rank=min(old.shape[1], new.shape[1]) // 2)
    return {"weights": weights, "offset": offset}


def _scores(old: Array, new: Array, _: MapTrainingSettings) -> dict[str, Array]:
    """Ridge regression from old to new passages, transposed for queries.

    q (B d + b) is the best linear estimate of the new model's score of a passage d of the old space. It equals
    (B' q) d up to a term that is the same for all passages: a search among the old vectors.
    """
    weights, _offset = affine(old, new, ridge=0.01)
    return {"weights": weights.T, "offset": np.zeros(old.shape[1])}


def _ranked(old: Array, new: Array, training: MapTrainingSettings) -> dict[str, Array]:
    """Trained from the rotation, which keeps all distances."""
    return train_ranked_map(new, old, _rotation(old, new, training), settings=training)


def _residual(old: Array, new: Array, training: MapTrainingSettings) -> dict[str, Array]:
    """Trained from the ranked map, with a hidden layer added."""
    start = add_hidden_layer(_ranked(old, new, training), training)
    return train_ranked_map(new, old, start, settings=training)


_MAPS: Mapping[MapKind, Callable[[Array, Array, MapTrainingSettings], dict[str, Any]]] = {
    "rotation": _rotation,
    "affine": _affine,
    "scores": _scores,
    "ranked": _ranked,
    "residual": _residual,
}
