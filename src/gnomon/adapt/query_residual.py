"""A residual map for query vectors, learnt from a few ranked lists: q becomes normalise(q + W q).

The passages' vectors stay as they are. W minimises the cross-entropy of each query's relevant passages among all
passages given (InfoNCE, van den Oord et al. 2018, arXiv:1807.03748), with a ridge penalty that draws it to no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.contracts import Array
from gnomon.core.similarity import normalise

TEMPERATURE = 0.05
STRENGTHS = (3.0, 1.0, 0.5, 0.2)
"""Weights of the penalty that are tried, the strongest first."""
USUAL = 1.0
"""The one that is taken unless the queries show another to be better: by SciFact's and InsuranceQA's train splits."""
_STEPS, _RATE, _MOMENTUM, _SCALE_DECAY = 15, 0.02, 0.9, 0.95
_FOLDS = 4
_TEMPERATURES = (0.03, 0.05, 0.08, 0.12, 0.2, 0.5)


@dataclass(frozen=True, eq=False)
class RelevanceTargets:
    """Queries and passages as vectors of length 1, and how each query's relevance is shared among the passages.

    Each row of `targets` is 0 for passages that are not relevant, and adds up to 1.
    """

    queries: Float[np.ndarray, "queries dim"]
    passages: Float[np.ndarray, "passages dim"]
    targets: Float[np.ndarray, "queries passages"]

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: Int[np.ndarray, " some"]) -> RelevanceTargets:
        """Only some of the queries."""
        return RelevanceTargets(self.queries[rows], self.passages, self.targets[rows])

    def losses(
        self, queries: Float[np.ndarray, "queries dim"], *, temperature: float = TEMPERATURE
    ) -> Float[np.ndarray, " queries"]:
        """The cross-entropy of the relevant passages among all, for these vectors of the queries, in nats."""
        logits = queries @ self.passages.T / temperature
        logits -= logits.max(axis=1, keepdims=True)
        log_shares = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return np.asarray(-(self.targets * np.where(self.targets > 0, log_shares, 0)).sum(axis=1))

    def losses_by_temperature(
        self, queries: Float[np.ndarray, "queries dim"]
    ) -> Float[np.ndarray, "temperatures queries"]:
        """The losses at several temperatures: of options each has the one that suits it best (`best_option`)."""
        return np.stack([self.losses(queries, temperature=each) for each in _TEMPERATURES])


def best_option(losses: Float[np.ndarray, "options temperatures queries"], usual: int) -> int:
    """The option of the lowest mean loss where that is lower than the usual one's by a standard error; else this one.

    Each option has its best temperature: to be less sure of the same order is no gain.
    """
    own = np.stack([each[each.mean(axis=1).argmin()] for each in losses])
    best = int(own.mean(axis=1).argmin())
    gain = own[usual] - own[best]
    return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else usual


def adapted(queries: Float[np.ndarray, "queries dim"], residual: Float[np.ndarray, "dim dim"]) -> Array:
    """normalise(q + W q) of each query."""
    return normalise(queries + queries @ residual.T)


def fit_path(data: RelevanceTargets, strengths: Sequence[float]) -> list[Float[np.ndarray, "dim dim"]]:
    """W for each strength of the penalty, which fall: each begins where the one before ended.

    With an infinite strength W is 0, and queries stay as they are.
    """
    dim = data.queries.shape[1]
    residual = np.zeros((dim, dim), dtype=np.float32)
    found = []
    for strength in strengths:
        residual = _descended(data, residual, strength)
        found.append(residual)
    return found


def path_to(strength: float) -> tuple[float, ...]:
    """The strengths that are passed on the way to this one, itself the last."""
    return (*(each for each in STRENGTHS if each > strength), strength)


def choose_strength(data: RelevanceTargets, *, seed: int = 0) -> float:
    """The strength by queries that were not fitted to: USUAL, or the best where it is better by a standard error."""
    folds = np.random.default_rng(seed).permutation(len(data)) % min(_FOLDS, len(data))
    losses = np.zeros((len(STRENGTHS), len(_TEMPERATURES), len(data)))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        held_out = data.take(rows)
        for option, residual in enumerate(fit_path(data.take(np.flatnonzero(folds != fold)), STRENGTHS)):
            losses[option][:, rows] = held_out.losses_by_temperature(adapted(held_out.queries, residual))
    return STRENGTHS[best_option(losses, STRENGTHS.index(USUAL))]


def _gradient(data: RelevanceTargets, residual: Array) -> Array:
    moved = data.queries + data.queries @ residual.T
    lengths = np.linalg.norm(moved, axis=1, keepdims=True)
    unit = moved / lengths
    logits = unit @ data.passages.T / TEMPERATURE
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    slopes = (shares - data.targets) @ data.passages / TEMPERATURE
    slopes = (slopes - (slopes * unit).sum(axis=1, keepdims=True) * unit) / lengths
    return np.asarray(slopes.T @ data.queries / len(data), dtype=np.float32)


def _descended(data: RelevanceTargets, residual: Array, strength: float) -> Array:
    """Proximal gradient descent with momentum, all entries scaled alike; the penalty shrinks W after each step."""
    momentum, scale = np.zeros_like(residual), 0.0
    for step in range(1, _STEPS + 1):
        gradient = _gradient(data, residual)
        momentum = _MOMENTUM * momentum + (1 - _MOMENTUM) * gradient
        scale = _SCALE_DECAY * scale + (1 - _SCALE_DECAY) * float(np.square(gradient).mean())
        rate = _RATE / np.sqrt(scale / (1 - _SCALE_DECAY**step) + 1e-20)
        moved = residual - rate * momentum / (1 - _MOMENTUM**step)
        residual = (moved / (1 + rate * strength)).astype(np.float32)
    return residual
