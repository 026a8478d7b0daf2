"""Ways to make one score of two, for bench/quality/fusion.py. None knows which chunks are relevant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.quality.fusion_lists import Lists
from gnomon.collection.evaluation import GROUP_DEPTH
from gnomon.kernels.ranking import min_max, reciprocal_rank

Way = Callable[[Lists], Any]
A_NAT = 1.75
"""What a nat of similarity counts beside BM25: chosen on the development sets, of 1.1 to 2.6."""
LINEAR = 0.65
"""What a deviation of similarity counts beside BM25 in units of the rarest word's idf."""


def found(column: Any, scaled: Callable[[Any], Any]) -> Any:
    """A column with what was found brought to another scale, and 0 for what was not."""
    out = np.zeros(len(column))
    there = ~np.isnan(column)
    if there.any():
        out[there] = scaled(column[there])
    return out


def stretched(weight: float) -> Way:
    """Min-max of each list: the default has a weight of 0.5."""
    return lambda one: weight * found(one.dense, min_max) + (1 - weight) * found(one.lexical, min_max)


def from_floor(weight: float, floor: float | None) -> Way:
    """Theoretical min-max (Bruch, Gai and Ingber 2023): BM25 from 0, cosine from a floor (None: the mean)."""

    def fuse(one: Lists) -> Any:
        low = one.mean if floor is None else floor
        dense = found(one.dense, lambda s: np.maximum(s - low, 0) / max(s.max() - low, 1e-9))
        return weight * dense + (1 - weight) * found(one.lexical, lambda s: s / s.max())

    return fuse


def by_rank(one: Lists) -> Any:
    """Reciprocal rank fusion."""
    return reciprocal_rank([one.dense, one.lexical], [0.5, 0.5])


def by_distribution(one: Lists) -> Any:
    """DBSF: each list from its mean less three deviations to its mean and three more, not cut off."""
    return sum(
        found(column, lambda s: (s - s.mean() + 3 * s.std()) / max(6 * s.std(), 1e-9))
        for column in (one.dense, one.lexical)
    )


def cut_distribution(one: Lists) -> Any:
    """DBSF with what lies beyond cut off."""
    return sum(
        found(column, lambda s: np.clip((s - s.mean() + 3 * s.std()) / max(6 * s.std(), 1e-9), 0, 1))
        for column in (one.dense, one.lexical)
    )


def shares(one: Lists) -> Any:
    """BM25 as a share of the largest that the words allow; cosine from the corpus's mean to 1."""
    dense = found(one.dense, lambda s: (s - one.mean) / (1 - one.mean))
    return dense + found(one.lexical, lambda s: s / one.largest)


def deviations(one: Lists) -> Any:
    """Similarity in deviations from the corpus's mean, BM25 in units of the rarest word's idf."""
    return LINEAR * _deviations(one) + lowest(one.lexical) / np.log(max(one.texts, 3))


def evidence(one: Lists) -> Any:
    """Nats: how much rarer such a similarity is than the mean one, were it normal, beside BM25 as it is."""
    z = _deviations(one)
    return A_NAT * z * np.abs(z) / 2 + lowest(one.lexical)


def _deviations(one: Lists) -> Any:
    return (lowest(one.dense) - one.mean) / max(one.deviation, 1e-9)


def lowest(column: Any) -> Any:
    """A column in which a full list's last score stands for what it lacks; 0 where it had room for more."""
    there = ~np.isnan(column)
    full = int(there.sum()) >= GROUP_DEPTH
    return np.where(there, column, column[there].min() if full else min(0.0, np.nanmin(column, initial=0.0)))


WAYS: dict[str, Way] = {
    "dense alone": lambda one: np.where(np.isnan(one.dense), -9.0, one.dense),
    "keyword alone": lambda one: np.where(np.isnan(one.lexical), -9.0, one.lexical),
    "min-max, 0.3 dense": stretched(0.3),
    "min-max, 0.4 dense": stretched(0.4),
    "min-max, 0.6 dense": stretched(0.6),
    "min-max, 0.7 dense": stretched(0.7),
    "reciprocal ranks": by_rank,
    "theoretical min-max, from the mean": from_floor(0.5, None),
    "theoretical min-max, from -1": from_floor(0.5, -1.0),
    "distributions (DBSF), not cut off": by_distribution,
    "distributions (DBSF)": cut_distribution,
    "shares of the largest": shares,
    "deviations": deviations,
    "evidence": evidence,
}
CHOSEN = "evidence"
DEFAULT = stretched(0.5)
FITTED = {
    "fitted: words": ("words",),
    "fitted: words, deviation": ("words", "deviation"),
    "fitted: words, deviation, gap, agreement": ("words", "deviation", "gap", "agreement"),
}


def signals(one: Lists) -> dict[str, float]:
    """What a weight for one query may be reckoned from."""
    dense, worded = one.dense, np.nan_to_num(one.lexical)
    top = float(np.nanmax(dense, initial=one.mean))
    ranked = np.sort(worded)[::-1]
    best = int(np.argmax(worded))
    own = dense[best] if ranked[0] > 0 and not np.isnan(dense[best]) else one.mean
    return {
        "words": float(np.log1p(len(one.idfs))),
        "deviation": (top - one.mean) / max(one.deviation, 1e-9),
        "gap": 1 - float(ranked[min(9, len(ranked) - 1)]) / max(float(ranked[0]), 1e-9),
        "agreement": float((own - one.mean) / max(top - one.mean, 1e-9)),
        "covered": float(ranked[0]) / one.largest,
    }
