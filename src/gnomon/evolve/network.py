"""A small network between two vector spaces: a linear map and a hidden layer beside it, in numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Arrays = Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


@dataclass(frozen=True)
class NetworkSettings:
    """How it is trained. `heat` divides cosines before the softmax: the less, the more the nearest count."""

    hidden: int = 256
    epochs: int = 30
    batch: int = 256
    rate: float = 3e-4
    decay: float = 1e-4
    heat: float = 0.01
    seed: int = 0


def through(arrays: Arrays, rows: Float[np.ndarray, "n a"]) -> Float[np.ndarray, "n b"]:
    """What the network makes of rows: the linear map, and the hidden layer's correction."""
    hidden = np.tanh(rows @ arrays["into"] + arrays["bias"])
    return np.asarray(rows @ arrays["weights"] + arrays["offset"] + hidden @ arrays["out"])


def trained(
    new: Float[np.ndarray, "n a"],
    old: Float[np.ndarray, "n b"],
    start: tuple[Float[np.ndarray, "a b"], Float[np.ndarray, " b"]],
    settings: NetworkSettings,
) -> dict[str, np.ndarray]:
    """A network from new to old that starts as a linear map, trained to give the new space's neighbours.

    For each row of a batch, the softmax over its cosines with the others, in the old space after the map, is
    to be what it is in the new space: the Kullback-Leibler divergence of both (as in distillation, Hinton
    2015). Adam (Kingma and Ba 2015) with a rate that falls to zero.
    """
    draws = np.random.default_rng(settings.seed)
    wide, narrow = start[0].shape
    values = {
        "weights": start[0].astype(np.float32),
        "offset": start[1].astype(np.float32),
        "into": draws.normal(0, wide**-0.5, (wide, settings.hidden)).astype(np.float32),
        "bias": np.zeros(settings.hidden, np.float32),
        "out": np.zeros((settings.hidden, narrow), np.float32),
    }
    first = {name: np.zeros_like(value) for name, value in values.items()}
    second = {name: np.zeros_like(value) for name, value in values.items()}
    per_epoch = max(1, len(new) // settings.batch)
    steps = settings.epochs * per_epoch
    for step in range(1, steps + 1):
        if (step - 1) % per_epoch == 0:
            order = draws.permutation(len(new))
        at = (step - 1) % per_epoch * settings.batch
        rows = order[at : at + settings.batch]
        slopes = _slopes(values, new[rows], old[rows], settings.heat)
        rate = settings.rate * (1 - (step - 1) / steps)
        for name, slope in slopes.items():
            first[name] += 0.1 * (slope - first[name])
            second[name] += 0.001 * (slope**2 - second[name])
            move = first[name] / (1 - 0.9**step) / (np.sqrt(second[name] / (1 - 0.999**step)) + 1e-8)
            values[name] -= rate * (move + settings.decay * values[name])
    return values


def _slopes(
    values: Arrays, new: Float[np.ndarray, "n a"], old: Float[np.ndarray, "n b"], heat: float
) -> dict[str, np.ndarray]:
    """The gradient of the divergence with respect to each array."""
    hidden = np.tanh(new @ values["into"] + values["bias"])
    made = new @ values["weights"] + values["offset"] + hidden @ values["out"]
    goal = _softmax(_others(new @ new.T) / heat)
    by_made = (_softmax(_others(made @ old.T) / heat) - goal) @ old / (heat * len(new))
    by_hidden = by_made @ values["out"].T * (1 - hidden**2)
    return {
        "weights": new.T @ by_made,
        "offset": by_made.sum(0),
        "into": new.T @ by_hidden,
        "bias": by_hidden.sum(0),
        "out": hidden.T @ by_made,
    }


def _others(scores: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """Without each row's score with itself."""
    np.fill_diagonal(scores, -np.inf)
    return scores


def _softmax(scores: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
