"""An embedding adapter between two models: queries of the new one, answered from vectors of the old one.

While a collection's new version is being built, most passages only have a vector of the old model. A map fitted
on passages embedded by both models takes a query vector of the new model into the old space. Its recall is
measured against full re-embedding, and a map whose recall is too low is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Array, VectorSearch
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Ranking
from gnomon.core.renamed import renamed_fields
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.evaluate.significance import mean_intervals
from gnomon.kernels.geometry import line, recall
from gnomon.migrate.adapter.maps import (
    MAP_KINDS,
    MapKind,
    MapTrainingSettings,
    VectorPairs,
    adapted_scores,
    fit_map,
    map_queries,
    normalized,
)

_CALIBRATION_DEPTH = 10
"""The best passages of each held-out query, by which scores are calibrated."""


class HeldOutEvaluation:
    """Recall of the `k` nearest among held-out passages, for queries (None: the passages are the queries)."""

    def __init__(self, passages: VectorPairs, queries: VectorPairs | None, k: int) -> None:
        self._passages, self._queries, self._k = passages, queries or passages, k
        self._queries_are_passages = queries is None

    @cached_property
    def _true_scores(self) -> Array:
        return self._without_self(self._queries.new.data @ self._passages.new.data.T)

    @cached_property
    def _old_scores(self) -> Array:
        return self._without_self(self._queries.old.data @ self._passages.old.data.T)

    def _adapted_scores(self, arrays: Mapping[str, Array]) -> Array:
        return self._without_self(adapted_scores(arrays, self._queries.new.data, self._passages.old))

    def _without_self(self, scores: Array) -> Array:
        """A passage does not retrieve itself."""
        if self._queries_are_passages:
            np.fill_diagonal(scores, -np.inf)
        return scores

    def recall(self, arrays: Mapping[str, Array] | None, rows: Array) -> Array:
        """Each query's recall of the new model's nearest passages; `arrays` None: by the old model's vectors."""
        scores = self._old_scores if arrays is None else self._adapted_scores(arrays)
        return recall(scores[rows], self._true_scores[rows], self._k)

    def calibration(self, arrays: Mapping[str, Array]) -> tuple[float, float, float]:
        """See `EmbeddingAdapter.calibration`: least squares, rank by rank, from the best scores to the true ones.

        Not passage by passage: a regression's prediction varies less than what it predicts, so passages that
        are not re-embedded yet would be ranked too rarely above those whose true scores are known.
        """
        scores = self._adapted_scores(arrays)
        depth = min(_CALIBRATION_DEPTH, scores.shape[1] - 1)
        best, true = (np.sort(each, axis=1)[:, -depth:] for each in (scores, self._true_scores))
        generic = np.broadcast_to((self._queries.new.data @ arrays["mean"])[:, None], best.shape)
        slopes, constant = line(np.column_stack([best.ravel(), generic.ravel()]), true.ravel())
        return float(slopes[0]), float(slopes[1]), constant


class AdapterRefused(InvalidInput):
    """No map between the two models reaches the required recall."""


@renamed_fields(least="min_recall", least_pairs="min_pairs", held="held_out_share", most_held="max_held_out")
@dataclass(frozen=True)
class AdapterSettings:
    """How an adapter is chosen. `min_recall` is the recall of the new model's `recall_at` nearest that it must reach.

    It must also have a higher recall than the old model itself. With `min_recall` 0 no adapter is refused.
    Fewer pairs than `min_pairs` are not fitted: recall among so few passages says little about a collection.
    `held_out_share` of the pairs, at most `max_held_out`, are held out to choose the map among `kinds` and to
    measure it.
    """

    recall_at: int = 10
    min_recall: float = 0.5
    min_pairs: int = 2000
    held_out_share: float = 0.2
    max_held_out: int = 1000
    kinds: tuple[MapKind, ...] = MAP_KINDS
    training: MapTrainingSettings = field(default_factory=MapTrainingSettings)
    seed: int = 0

    def __post_init__(self) -> None:
        if not (
            0 < self.held_out_share <= 0.5
            and 0 <= self.min_recall <= 1
            and self.recall_at >= 1
            and self.min_pairs >= 50
            and self.kinds
        ):
            raise InvalidInput(
                f"held_out_share {self.held_out_share:g}, min_recall {self.min_recall:g}, "
                f"recall_at {self.recall_at}, min_pairs {self.min_pairs}, kinds {self.kinds}",
                expected="held_out_share above 0 and at most 0.5, min_recall from 0 to 1, recall_at of 1 or more, "
                "min_pairs of 50 or more, and a kind of map",
            )


@dataclass(frozen=True)
class AdapterQuality:
    """Mean recall of the new model's `at` nearest passages, with its 95 % interval from `low` to `high`.

    Measured with `queries` held-out queries (passages used as queries if `of_passages`) among `passages`
    held-out passages; the adapter was then refitted on all `pairs`. `old_model` is the recall of the old model
    without an adapter; `tried` the recall of each kind of map, on other held-out queries.
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


@renamed_fields(scale="calibration", measured="quality")
@dataclass(frozen=True, eq=False)
class EmbeddingAdapter:
    """A map from the space `new` to the space `old`, with its measured `quality`. Made by `fit_adapter`.

    `calibration` turns an old index's score into one on the new model's scale: it is multiplied with (the
    score times the mapped query's length, the query's score with the mean of the new vectors, 1).
    """

    old: Space
    new: Space
    kind: MapKind
    arrays: Mapping[str, Array]
    calibration: tuple[float, float, float]
    quality: AdapterQuality

    def search(
        self, index: VectorSearch, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """Search an index of the old space with queries of the new one; scores are on the new model's scale.

        `queries` are [n, dim of the new model]; returns n rankings of at most `k`.
        Raises SpaceMismatch if the index is not of the old space or the queries are not of the new one.
        """
        self.old.require(index.space)
        self.new.require(queries.space)
        rows = normalized(queries)
        if not len(rows):
            return []
        # One by one, as a product's last bits depend on how many rows share it.
        mapped = np.concatenate([map_queries(self.arrays, row[None]) for row in rows])
        lengths = np.linalg.norm(mapped, axis=1)
        # A query that maps to zero has no direction: any direction gives the same calibrated score.
        mapped[lengths == 0] = 1.0
        found = index.search(Vectors(mapped, self.old), k=k, where=where)
        slope, generic, constant = self.calibration
        shifts = generic * np.vecdot(rows, self.arrays["mean"]).astype(np.float64) + constant
        sizes = lengths if self.old.similarity == "cosine" else np.ones(len(rows))
        slopes = slope * np.maximum(sizes.astype(np.float64), 1e-9)
        # In float64: passages that differ in the old scores by their last bit still do.
        return [
            Ranking(one.ids, one.scores.astype(np.float64) * a + b)
            for one, a, b in zip(found, slopes, shifts, strict=True)
        ]


def fit_adapter(
    old: Vectors,
    new: Vectors,
    *,
    queries: VectorPairs | None = None,
    settings: AdapterSettings | None = None,
) -> EmbeddingAdapter:
    """Fit the map from new to old with the highest recall, on pairs of passages.

    `old` [n, dim of the old model] and `new` [n, dim of the new one] are the same n passages, row by row.
    `queries`, embedded by both models as queries, choose and measure the map; without them held-out passages
    do. The returned map is fitted on all pairs: orthogonal Procrustes (Schönemann 1966), an affine map of half
    the rank, or the Procrustes map trained further for the new model's neighbours.
    Raises AdapterRefused, with the measured recall, if even the best is too low; InvalidInput for fewer than
    `min_pairs` pairs or 20 queries, or spaces whose similarity is neither cosine nor dot product.
    """
    settings, pairs = settings or AdapterSettings(), VectorPairs(old, new)
    _check(pairs, queries, settings)
    draws = np.random.default_rng(settings.seed)
    order = draws.permutation(len(old))
    count = min(settings.max_held_out, int(len(old) * settings.held_out_share))
    held_out, rest = pairs.take(order[:count]), pairs.take(order[count:])
    evaluation = HeldOutEvaluation(held_out, queries, settings.recall_at)
    fitted = {kind: fit_map(kind, rest, settings.training) for kind in settings.kinds}
    # One half of the held-out queries chooses the map, the other measures the chosen one.
    mixed = draws.permutation(count if queries is None else len(queries.new))
    choosing, measuring = mixed[::2], mixed[1::2]
    tried: dict[str, float] = {kind: float(evaluation.recall(one, choosing).mean()) for kind, one in fitted.items()}
    kind = max(settings.kinds, key=tried.__getitem__)
    found = evaluation.recall(fitted[kind], measuring)
    ((low, high),) = mean_intervals(found[:, None])
    quality = AdapterQuality(
        recall=float(found.mean()),
        low=low,
        high=high,
        at=settings.recall_at,
        queries=len(measuring),
        passages=count,
        pairs=len(old),
        of_passages=queries is None,
        old_model=float(evaluation.recall(None, measuring).mean()),
        tried=tried,
    )
    calibration = evaluation.calibration(fitted[kind])
    _require_good_enough(quality, kind, calibration[0], pairs=pairs, settings=settings)
    arrays = fit_map(kind, pairs, settings.training)
    return EmbeddingAdapter(old.space, new.space, kind, arrays, calibration, quality)


def _check(pairs: VectorPairs, queries: VectorPairs | None, settings: AdapterSettings) -> None:
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
    if len(pairs.old) < settings.min_pairs:
        raise InvalidInput(
            f"{len(pairs.old)} pairs of passages to fit an adapter on",
            expected=f"at least {settings.min_pairs}",
            hint="embed more passages; a collection of fewer needs no adapter, its build is short",
        )
    if queries is not None:
        pairs.old.space.require(queries.old.space)
        pairs.new.space.require(queries.new.space)
        if len(queries.old) < 20:
            raise InvalidInput(
                f"{len(queries.old)} queries to choose and measure the adapter",
                expected="at least 20",
                hint="without queries, held-out passages are used instead",
            )


def is_good_enough(quality: AdapterQuality, settings: AdapterSettings) -> bool:
    """Whether the measured recall is enough to serve with."""
    enough = quality.recall >= settings.min_recall
    return enough and (quality.recall > quality.old_model or settings.min_recall == 0)


def _require_good_enough(
    quality: AdapterQuality, kind: str, slope: float, *, pairs: VectorPairs, settings: AdapterSettings
) -> None:
    old, new = pairs.old.space.short, pairs.new.space.short
    # A negative slope means that the pairs are not of the same texts.
    if is_good_enough(quality, settings) and slope > 0:
        return
    raise AdapterRefused(
        f"the best map from {new} to {old} ({kind}, fitted on {quality.pairs} pairs) finds "
        f"{quality.recall:.1%} of what re-embedding finds ({quality.low:.1%} to {quality.high:.1%}, "
        f"{quality.queries} queries, {quality.passages} passages); the old model finds "
        f"{quality.old_model:.1%} of it",
        expected=f"at least {settings.min_recall:.1%}, and more than the old model",
        hint="fit it on more pairs (a few thousand passages), each the same text in both; or let the "
        "old version serve until the new one is built",
    )
