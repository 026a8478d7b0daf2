"""What a run did and gained: its report, its log, and the evaluations of its start and its end compared."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gnomon.core.files import write_atomic
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.serialize import to_plain
from gnomon.kernels.statistics import bootstrap_interval, spearman
from gnomon.train.contracts import Model
from gnomon.train.evaluation import DevSet, SetEvaluation, Sparsity, evaluate_set
from gnomon.train.grad_cache import Precision

LOG = "log.jsonl"
End = Literal["done", "early", "interrupted"]


@dataclass(frozen=True)
class Gain:
    """What a set says of the trained model beside the one it started from.

    `verdict` is `gnomon.evaluate.Verdict` as plain values, for rankings of 10 queries and more; for scored
    pairs `low` and `high` are the 95 % interval of the difference by bootstrap. `sparsity` is that of a sparse
    encoder at the start and at the end.
    """

    name: str
    split: str
    metric: str
    start: float
    end: float
    low: float | None = None
    high: float | None = None
    verdict: Mapping[str, Any] | None = None
    sparsity: tuple[Sparsity | None, Sparsity | None] | None = None


@dataclass(frozen=True)
class FitReport:
    """What a run did. `folder` is the model's, `training` holds checkpoints, the log and the report.

    `evaluations` are (step, figure) of the dev sets during the run, `best` the step whose weights were kept
    (-1: the last). `data` has each source's digest, examples and findings. `unused` are examples of an epoch that no
    step used; `alone` those used in batches of one document, from which nothing is learned. `problems` are
    stages after the training that failed: the model is saved all the same.
    """

    folder: str
    training: str
    kind: str
    end: End
    steps: int
    examples: int
    seconds: float
    precision: str
    evaluations: tuple[tuple[int, float], ...]
    best: int
    gains: tuple[Gain, ...]
    space: Mapping[str, Any] | None
    data: Mapping[str, Any]
    recipe: Mapping[str, Any]
    unused: int = 0
    alone: int = 0
    problems: tuple[str, ...] = ()

    @property
    def sparsity(self) -> tuple[str, ...]:
        """A sentence for each set that a sparse encoder ranked."""
        return tuple(
            f"{one.name} ({one.split}): {before.query:,.0f} to {after.query:,.0f} active terms a query, "
            f"{before.document:,.0f} to {after.document:,.0f} a document; "
            f"FLOPS {before.flops:,.2f} to {after.flops:,.2f}"
            for one in self.gains
            if one.sparsity is not None
            for before, after in [one.sparsity]
            if before is not None and after is not None
        )

    @property
    def looks(self) -> tuple[tuple[int, float], ...]:
        """The old name of `evaluations`."""
        warnings.warn("FitReport.looks is now FitReport.evaluations", DeprecationWarning, stacklevel=2)
        return self.evaluations

    def to_json(self) -> dict[str, Any]:
        """A plain mapping; "looks", the old name of "evaluations", is in it until 0.3."""
        plain: dict[str, Any] = to_plain(self)
        return {**plain, "looks": plain["evaluations"]}


def evaluate_all(
    sets: Sequence[DevSet],
    model: Model,
    metric: str,
    *,
    precision: Precision,
    progress: ProgressCallback,
) -> list[SetEvaluation]:
    """The model's evaluation on each set."""
    found = []
    for number, one in enumerate(sets):
        progress(Progress("evaluating", number, len(sets), "data set"))
        found.append(evaluate_set(model, one, metric, precision=precision))
    return found


def write_evaluations(path: Path, evaluations: Sequence[SetEvaluation]) -> None:
    """Keep evaluations in a file: a resumed run does not evaluate its start twice."""
    rows = [
        {
            "name": one.name, "metric": one.metric, "value": one.value, "predicted": list(one.predicted),
            "run": None if one.run is None else {q: dict(r) for q, r in one.run.results.items()},
            "sparsity": None if one.sparsity is None else asdict(one.sparsity),
        }
        for one in evaluations
    ]  # fmt: skip
    write_atomic(path, json.dumps(rows))


def read_evaluations(path: Path) -> list[SetEvaluation]:
    """What `write_evaluations` wrote."""
    from gnomon.evaluate import Run

    return [
        SetEvaluation(
            one["name"], one["metric"], one["value"],
            None if one["run"] is None else Run(one["name"], one["run"]), tuple(one["predicted"]),
            Sparsity(**one["sparsity"]) if one.get("sparsity") else None,
        )
        for one in json.loads(path.read_text(encoding="utf-8"))
    ]  # fmt: skip


def gain(dev: DevSet, split: str, start: SetEvaluation, *, end: SetEvaluation) -> Gain:
    """The trained model's evaluation on a set beside that of the model it started from."""
    from gnomon.evaluate import compare

    plain = Gain(dev.name, split, end.metric, start.value, end.value, sparsity=(start.sparsity, end.sparsity))
    if end.sparsity is None:
        plain = replace(plain, sparsity=None)
    if dev.is_scored:
        low, high = _difference_interval(start.predicted, end.predicted, dev.scores)
        return replace(plain, low=low, high=high)
    if start.run is None or end.run is None or len(dev.relevant) < 10:
        return plain
    runs = replace(start.run, name="start"), replace(end.run, name="trained")
    verdict = compare(*runs, dev.relevant, metric=end.metric)
    return replace(plain, verdict=verdict.to_json())


def _difference_interval(start: Sequence[float], end: Sequence[float], scores: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the difference of two correlations over the same pairs."""
    before, after, truth = (np.asarray(column, dtype=np.float64) for column in (start, end, scores))
    interval = bootstrap_interval(lambda a, b, c: spearman(b, c) - spearman(a, c), before, after, truth)
    return interval or (0.0, 0.0)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a run's log; a last line that was cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows
