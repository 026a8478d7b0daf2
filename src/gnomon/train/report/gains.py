"""What a run gained: looks at its start and its end, and the difference with its interval."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gnomon.train.contracts import Model
from gnomon.train.evaluation import DevSet, Look, look
from gnomon.train.prepare import Parts


@dataclass(frozen=True)
class Gain:
    """What a set says of the trained model beside the one it started from.

    `verdict` is `gnomon.evaluate.Verdict` as plain values, for rankings of 10 queries and more; for scored
    pairs `low` and `high` are the 95 % interval of the difference by bootstrap.
    """

    name: str
    split: str
    metric: str
    start: float
    end: float
    low: float | None = None
    high: float | None = None
    verdict: Mapping[str, Any] | None = None


def looks(
    parts: Parts, kept: Path, model: Model, tell: Callable[[int, int], None], *, anew: bool = False
) -> list[Look]:
    """Looks at all dev and test sets, kept in a file: a resumed run does not look at its start twice.

    `tell` hears how many sets are done, of how many.
    """
    sets = (*parts.dev, *parts.test)
    if kept.is_file() and not anew:
        return _read(kept)
    found = []
    for number, one in enumerate(sets):
        tell(number, len(sets))
        found.append(look(model, one, parts.recipe.dev.metric, precision=parts.precision))
    rows = [
        {
            "name": one.name, "metric": one.metric, "value": one.value, "predicted": list(one.predicted),
            "run": None if one.run is None else {q: dict(r) for q, r in one.run.results.items()},
        }
        for one in found
    ]  # fmt: skip
    beside = kept.with_suffix(".new")
    beside.write_text(json.dumps(rows), encoding="utf-8")
    beside.replace(kept)
    return found


def _read(kept: Path) -> list[Look]:
    from gnomon.evaluate import Run

    return [
        Look(
            one["name"], one["metric"], one["value"],
            None if one["run"] is None else Run(one["name"], one["run"]), tuple(one["predicted"]),
        )
        for one in json.loads(kept.read_text(encoding="utf-8"))
    ]  # fmt: skip


def gains_of(parts: Parts, starts: Sequence[Look], ends: Sequence[Look]) -> tuple[Gain, ...]:
    """One for each dev and test set, in the order of `looks`."""
    sets = [*((one, "dev") for one in parts.dev), *((one, "test") for one in parts.test)]
    return tuple(_gain(one, split, start, end) for (one, split), start, end in zip(sets, starts, ends, strict=True))


def _gain(one: DevSet, split: str, start: Look, end: Look) -> Gain:
    from gnomon.evaluate import compare

    plain = Gain(one.name, split, end.metric, start.value, end.value)
    if one.is_scored:
        low, high = _difference_interval(start.predicted, end.predicted, one.scores)
        return replace(plain, low=low, high=high)
    if start.run is None or end.run is None or len(one.relevant) < 10:
        return plain
    runs = replace(start.run, name="start"), replace(end.run, name="trained")
    verdict = compare(*runs, one.relevant, metric=end.metric)
    return replace(plain, verdict=verdict.to_json())


def _difference_interval(start: Sequence[float], end: Sequence[float], scores: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the difference of two correlations over the same pairs."""
    import numpy as np

    from gnomon.kernels.statistics import bootstrap_interval, spearman

    before, after, truth = (np.asarray(column, dtype=np.float64) for column in (start, end, scores))
    interval = bootstrap_interval(lambda a, b, c: spearman(b, c) - spearman(a, c), before, after, truth)
    return interval or (0.0, 0.0)
