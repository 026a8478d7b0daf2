"""The maps a bridge is chosen from: a new model's queries to where their answers lie among old vectors."""

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
from gnomon.kernels.linear_maps import affine, rotation
from gnomon.kernels.statistics import softmax

Arrays = Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


@dataclass(frozen=True)
class RankedSettings:
    """How it is trained. `heat` divides scores before the softmax: the less, the more the nearest count.

    `hidden` is the width of a residual network's layer.
    """

    epochs: int = 30
    batch: int = 256
    rate: float = 1e-4
    decay: float = 1e-4
    heat: float = 0.01
    hidden: int = 128
    seed: int = 0


def ranked_map(
    new: Float[np.ndarray, "n a"],
    old: Float[np.ndarray, "n b"],
    start: Arrays,
    settings: RankedSettings,
) -> dict[str, np.ndarray]:
    """Weights and offset from new to old (and what else there is in `start`), from those of `start` on.

    For each row of a batch, the softmax over its scores with the others, in the old space after the map, is
    to be what it is in the new space: the Kullback-Leibler divergence of both (as in distillation, Hinton
    2015). Adam (Kingma and Ba 2015) with a rate that falls to zero.
    """
    draws = np.random.default_rng(settings.seed)
    values = {name: value.astype(np.float32) for name, value in start.items()}
    first = {name: np.zeros_like(value) for name, value in values.items()}
    second = {name: np.zeros_like(value) for name, value in values.items()}
    batch = min(settings.batch, len(new))
    per_epoch = len(new) // batch
    steps = settings.epochs * per_epoch
    for step in range(1, steps + 1):
        at = (step - 1) % per_epoch
        if at == 0:
            order = draws.permutation(len(new))
        rows = order[at * batch : (at + 1) * batch]
        rate = settings.rate * (1 - (step - 1) / steps)
        for name, slope in slopes(values, new[rows], old[rows], settings.heat).items():
            first[name] += 0.1 * (slope - first[name])
            second[name] += 0.001 * (slope**2 - second[name])
            move = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
            values[name] -= rate * (move + settings.decay * values[name])
    return values


def with_hidden(start: Arrays, settings: RankedSettings) -> dict[str, np.ndarray]:
    """The same map with a hidden layer beside it that adds nothing yet: `into`, `bias` and `out`."""
    wide, narrow = start["weights"].shape
    into = np.random.default_rng(settings.seed).normal(0, wide**-0.5, (wide, settings.hidden))
    nothing = {"bias": np.zeros(settings.hidden), "out": np.zeros((settings.hidden, narrow))}
    return {**start, "into": into, **nothing}


def through(values: Arrays, rows: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n b"]:
    """Rows after the map."""
    made = rows @ values["weights"] + values["offset"]
    if "into" in values:
        made += np.maximum(rows @ values["into"] + values["bias"], 0) @ values["out"]
    return np.asarray(made)


def slopes(
    values: Arrays, new: Float[np.ndarray, "n a"], old: Float[np.ndarray, "n b"], heat: float
) -> dict[str, np.ndarray]:
    """The gradient of the divergence with respect to each of the values."""
    goal = softmax(_others(new @ new.T) / heat)
    made = softmax(_others(through(values, new) @ old.T) / heat)
    by_made = (made - goal) @ old / (heat * len(new))
    found = {"weights": new.T @ by_made, "offset": by_made.sum(0)}
    if "into" in values:
        hidden = np.maximum(new @ values["into"] + values["bias"], 0)
        by_hidden = by_made @ values["out"].T * (hidden > 0)
        found |= {"out": hidden.T @ by_made, "into": new.T @ by_hidden, "bias": by_hidden.sum(0)}
    return found


def _others(scores: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Without each row's score with itself."""
    np.fill_diagonal(scores, -np.inf)
    return scores


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
                f"{len(self.old)} old and {len(self.new)} new vectors", expected="one of each for every text"
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
    return normalise(vectors.data, allow_zero=True)


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
