"""A bridge between two models: queries of the new one, answered from vectors of the old one.

While a collection's new version is being built, most passages have a vector of the old model only. A map that
is fitted on passages embedded by both brings a query's new vector to where its answers lie among the old
ones. What it finds is measured against true re-embedding, and a map that finds too little is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Array, Index
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.evaluate.significance import mean_intervals
from gnomon.kernels.linear_maps import line, recall
from gnomon.migrate.adapter.maps import (
    KINDS,
    Kind,
    Pairs,
    RankedSettings,
    comparable,
    fitted_map,
    mapped_rows,
    rises,
)

_CALIBRATED = 10
"""The best of each held-out query, from which scores are calibrated."""


class Trial:
    """Queries, or None for the passages themselves, asked of passages; `at` of the nearest count."""

    def __init__(self, passages: Pairs, queries: Pairs | None, at: int) -> None:
        self._passages, self._asked, self._at = passages, queries or passages, at
        self._is_own = queries is None

    @cached_property
    def _true(self) -> Array:
        return self._without_own(self._asked.new.data @ self._passages.new.data.T)

    @cached_property
    def _olds(self) -> Array:
        return self._without_own(self._asked.old.data @ self._passages.old.data.T)

    def _mapped(self, arrays: Mapping[str, Array]) -> Array:
        return self._without_own(rises(arrays, self._asked.new.data, self._passages.old))

    def _without_own(self, scores: Array) -> Array:
        """A passage does not find itself."""
        if self._is_own:
            np.fill_diagonal(scores, -np.inf)
        return scores

    def recall(self, arrays: Mapping[str, Array] | None, rows: Array) -> Array:
        """The share of the new model's nearest found for each of these queries; None: by the old model."""
        found = self._olds if arrays is None else self._mapped(arrays)
        return recall(found[rows], self._true[rows], self._at)

    def scale(self, arrays: Mapping[str, Array]) -> tuple[float, float, float]:
        """See `Bridge.scale`: least squares, rank by rank, from queries' best scores to their best true ones.

        Not passage by passage: that gives what a score is to be expected to be, and a guess varies less than
        what it guesses. Passages that wait would then come in too rarely among those whose scores are known.
        """
        found = self._mapped(arrays)
        many = min(_CALIBRATED, found.shape[1] - 1)
        best, true = (np.sort(scores, axis=1)[:, -many:] for scores in (found, self._true))
        generic = np.broadcast_to((self._asked.new.data @ arrays["mean"])[:, None], best.shape)
        slopes, constant = line(np.column_stack([best.ravel(), generic.ravel()]), true.ravel())
        return float(slopes[0]), float(slopes[1]), constant


class BridgeRefused(InvalidInput):
    """No map between two models finds enough of what re-embedding would find."""


@dataclass(frozen=True)
class BridgeSettings:
    """How a bridge is chosen. `least` is the share of the new model's `recall_at` nearest that it must find.

    It must also find more than the old model does, which is else as near to the new one. 0: none is refused.
    Fewer pairs than `least_pairs` are not fitted: the recall among so few says little of a collection's.
    `held` of the pairs are held out to choose and to measure by, `most_held` at most. `kinds` are tried.
    """

    recall_at: int = 10
    least: float = 0.5
    least_pairs: int = 2000
    held: float = 0.2
    most_held: int = 1000
    kinds: tuple[Kind, ...] = KINDS
    training: RankedSettings = field(default_factory=RankedSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if not (
            0 < self.held <= 0.5
            and 0 <= self.least <= 1
            and self.recall_at >= 1
            and self.least_pairs >= 50
            and self.kinds
        ):
            raise InvalidInput(
                f"held {self.held:g}, least {self.least:g}, recall_at {self.recall_at}, "
                f"least_pairs {self.least_pairs}, kinds {self.kinds}",
                expected="held above 0 and at most 0.5, least from 0 to 1, recall_at of 1 or more, "
                "least_pairs of 50 or more, and a kind",
            )


@dataclass(frozen=True)
class Measured:
    """What a bridge finds: the mean share of the new model's `at` nearest, of `low` to `high` (95 %).

    For `queries` held-out queries (passages taken as queries, where `of_passages`) among `passages` that were
    held out too; then it was fitted anew on all `pairs`. `old_model` is the share that the old model finds by
    itself; `tried` the share of each kind of map, on other held-out queries.
    """

    recall: float
    low: float
    high: float
    at: int
    queries: int
    passages: int
    pairs: int
    of_passages: bool
    old_model: float
    tried: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Bridge:
    """A map from `new` to `old`, with what it was measured to find. Made by `fit_bridge`.

    `scale` turns an old index's score into the new model's: it multiplies (the score times the mapped
    query's length, the query's score with the mean of the new vectors, 1).
    """

    old: Space
    new: Space
    kind: Kind
    arrays: Mapping[str, Array]
    scale: tuple[float, float, float]
    measured: Measured

    def search(
        self, index: Index, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The best of an index of the old space for queries of the new one, with scores as the new model's.

        `queries` are [n, dim of the new model]; what comes back are n rankings of at most `k`.
        Raises SpaceMismatch where the index is not of the old space, or the queries are not of the new one.
        """
        self.old.require(index.space)
        self.new.require(queries.space)
        rows = comparable(queries)
        if not len(rows):
            return []
        # One by one, as a product's last bits depend on how many rows share it.
        mapped = np.concatenate([mapped_rows(self.arrays, row[None]) for row in rows])
        lengths = np.linalg.norm(mapped, axis=1)
        # What maps to nothing has no direction: it finds what any other would, all alike.
        mapped[lengths == 0] = 1.0
        found = index.search(Vectors(mapped, self.old), k=k, where=where)
        slope, generic, constant = self.scale
        shifts = generic * np.vecdot(rows, self.arrays["mean"]).astype(np.float64) + constant
        sizes = lengths if self.old.similarity == "cosine" else np.ones(len(rows))
        slopes = slope * np.maximum(sizes.astype(np.float64), 1e-9)
        # In float64: passages that differ in the old scores by their last bit still do.
        return [
            Ranking(one.ids, one.scores.astype(np.float64) * a + b)
            for one, a, b in zip(found, slopes, shifts, strict=True)
        ]


def fit_bridge(
    old: Vectors,
    new: Vectors,
    *,
    queries: Pairs | None = None,
    settings: BridgeSettings | None = None,
) -> Bridge:
    """The map from new to old that finds most of what re-embedding would, fitted on pairs of passages.

    `old` [n, dim of the old model] and `new` [n, dim of the new one] are the same n passages, row by row.
    `queries`, embedded by both models as queries, choose and measure it where they are given; else passages
    that were held out do. The map that comes back is fitted on all pairs: orthogonal Procrustes (Schönemann
    1966), an affine map of half the rank, or the first one trained for the new model's neighbours.
    Raises BridgeRefused, with what was measured, where even the best finds too little; InvalidInput for fewer
    than `least_pairs` pairs or 20 queries, or spaces compared otherwise than by cosine or dot product.
    """
    settings, pairs = settings or BridgeSettings(), Pairs(old, new)
    _check(pairs, queries, settings)
    draws = np.random.default_rng(settings.seed)
    order = draws.permutation(len(old))
    out = min(settings.most_held, int(len(old) * settings.held))
    # Passages that a map was fitted on it gets right: it is measured by those that it has not seen.
    held, rest = pairs.take(order[:out]), pairs.take(order[out:])
    trial = Trial(held, queries, settings.recall_at)
    fitted = {kind: fitted_map(kind, rest, settings.training) for kind in settings.kinds}
    # Held-out queries are in no order: one half chooses, the other measures what was chosen.
    mixed = draws.permutation(out if queries is None else len(queries.new))
    choosing, measuring = mixed[::2], mixed[1::2]
    tried: dict[str, float] = {kind: float(trial.recall(arrays, choosing).mean()) for kind, arrays in fitted.items()}
    kind = max(settings.kinds, key=tried.__getitem__)
    found = trial.recall(fitted[kind], measuring)
    ((low, high),) = mean_intervals(found[:, None])
    measured = Measured(
        recall=float(found.mean()),
        low=low,
        high=high,
        at=settings.recall_at,
        queries=len(measuring),
        passages=out,
        pairs=len(old),
        of_passages=queries is None,
        old_model=float(trial.recall(None, measuring).mean()),
        tried=tried,
    )
    scale = trial.scale(fitted[kind])
    _refuse(measured, kind, scale[0], pairs, settings)
    whole = fitted_map(kind, pairs, settings.training)
    return Bridge(old.space, new.space, kind, whole, scale, measured)


def _check(pairs: Pairs, queries: Pairs | None, settings: BridgeSettings) -> None:
    if pairs.old.space == pairs.new.space:
        raise InvalidInput(
            f"both sides are of {pairs.old.space.short}", expected="two models", hint="search it as it is"
        )
    for space in (pairs.old.space, pairs.new.space):
        if space.similarity not in ("cosine", "dot"):
            raise InvalidInput(
                f"{space.similarity} of {space.short}",
                expected="spaces compared by cosine or dot product, one vector a text",
                hint="let the old version serve until the new one is built",
            )
    if len(pairs.old) < settings.least_pairs:
        raise InvalidInput(
            f"{len(pairs.old)} pairs of passages to fit a bridge on",
            expected=f"at least {settings.least_pairs}",
            hint="embed more passages; where there are no more, the build is done as soon",
        )
    if queries is not None:
        pairs.old.space.require(queries.old.space)
        pairs.new.space.require(queries.new.space)
        if len(queries.old) < 20:
            raise InvalidInput(
                f"{len(queries.old)} queries to choose and to measure by",
                expected="at least 20",
                hint="give none, and passages that were held out stand for them",
            )


def is_allowed(measured: Measured, settings: BridgeSettings) -> bool:
    """Whether what was measured is enough to serve by."""
    enough = measured.recall >= settings.least
    return enough and (measured.recall > measured.old_model or settings.least == 0)


def _refuse(measured: Measured, kind: str, slope: float, pairs: Pairs, settings: BridgeSettings) -> None:
    least, old, new = settings.least, pairs.old.space.short, pairs.new.space.short
    # Scores that fall where the new model's rise belong to other texts.
    if is_allowed(measured, settings) and slope > 0:
        return
    raise BridgeRefused(
        f"the best map from {new} to {old} ({kind}, fitted on {measured.pairs} pairs) finds "
        f"{measured.recall:.1%} of what re-embedding finds ({measured.low:.1%} to {measured.high:.1%}, "
        f"{measured.queries} queries, {measured.passages} passages); the old model finds "
        f"{measured.old_model:.1%} of it",
        expected=f"at least {least:.1%}, and more than the old model",
        hint="fit it on more pairs (a few thousand passages), each the same text in both; or let the "
        "old version serve until the new one is built",
    )
