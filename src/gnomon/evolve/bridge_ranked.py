"""Maps between two vector spaces, trained to give the new space's neighbours. Numpy, a few seconds.

A linear one, and one with a small hidden layer beside it (a residual network).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

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
    goal = _softmax(_others(new @ new.T) / heat)
    made = _softmax(_others(through(values, new) @ old.T) / heat)
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


def _softmax(scores: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
