"""`fit`: a recipe to a model that serves, with a report of what it gained."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gnomon.core.errors import CollectionBusy, InvalidInput
from gnomon.train.contracts import Model
from gnomon.train.dev import DevSet, Look, look
from gnomon.train.loop import End, FitProgress, Loop
from gnomon.train.prepare import Parts, prepare
from gnomon.train.recipe import Recipe, load_recipe

Tell = Callable[[FitProgress], None]


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


@dataclass(frozen=True)
class FitReport:
    """What a run did. `folder` is the model's, `training` holds checkpoints, the log and the report.

    `looks` are (step, figure) of the dev sets during the run, `best` the step whose weights were kept (-1:
    the last). `data` has each source's digest, examples and findings.
    """

    folder: str
    training: str
    kind: str
    end: End
    steps: int
    examples: int
    seconds: float
    precision: str
    looks: tuple[tuple[int, float], ...]
    best: int
    gains: tuple[Gain, ...]
    space: Mapping[str, Any] | None
    data: Mapping[str, Any]
    recipe: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


def fit(
    recipe: Recipe | str | Path,
    *,
    progress: Callable[[FitProgress], None] | None = None,
    stop: Callable[[], bool] | None = None,
    resume: bool = True,
) -> FitReport:
    """Train by a recipe, and write the model's folder.

    A run that was stopped, by `stop` returning True after a step or by the power, goes on from its last
    checkpoint, with the result of a run that was not. A run that is done is not done again: with
    `resume` False it begins anew. Checkpoints, log and report lie beside the model, in FOLDER.training.
    Raises InvalidInput for what cannot be trained, TrainingDiverged, CollectionBusy where another process is
    at it, StorageError.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    folder = Path(recipe.output.folder).expanduser().absolute()
    work = folder.with_name(f"{folder.name}.training")
    work.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(work / "lock", timeout=0), tempfile.TemporaryDirectory() as scratch:
            return _fit(
                recipe, folder, work, _Asked(progress or _silent, stop or _never, resume), Path(scratch)
            )
    except Timeout as error:
        raise CollectionBusy(
            f"another process trains into {folder}",
            wanted="one run for a folder",
            next_step="wait for it, or name another folder in [output]",
        ) from error


@dataclass(frozen=True)
class _Asked:
    tell: Tell
    stop: Callable[[], bool]
    resume: bool


def _fit(recipe: Recipe, folder: Path, work: Path, asked: _Asked, scratch: Path) -> FitReport:
    _require_same(recipe, work, asked.resume)
    asked.tell(FitProgress("checking", 0, 0))
    parts = prepare(recipe, scratch=scratch)
    loop = Loop(parts, work, tell=asked.tell, stop=asked.stop)
    (work / "recipe.toml").write_text(recipe.to_toml(), encoding="utf-8")
    starts = _looks(parts, work / "start.json", parts.model, asked.tell)
    if asked.resume:
        loop.resumed()
    end = loop.run()
    standing = loop.standing
    gains: tuple[Gain, ...] = ()
    space = None
    if end != "interrupted":
        loop.finish()
        asked.tell(FitProgress("saving", standing.step, int(loop.steps)))
        parts.model.save(folder)
        ends = _looks(parts, work / "end.json", parts.model, asked.tell, anew=True)
        gains = _gains(parts, starts, ends)
        space = _space(folder, parts)
    from gnomon.train.report import write_report

    report = FitReport(
        str(folder), str(work), parts.model.kind, end, standing.step, standing.examples,
        round(standing.seconds, 2), parts.precision, standing.looks, standing.best, gains, space,
        {"digests": dict(parts.digests), "checked": parts.data.to_json()}, recipe.to_json(),
    )  # fmt: skip
    write_report(report, work)
    return report


def _require_same(recipe: Recipe, work: Path, resume: bool) -> None:
    """Raise InvalidInput where a run of another recipe was begun here; forget it where it is not resumed."""
    from shutil import rmtree

    if not resume:
        rmtree(work / "checkpoints", ignore_errors=True)
        for name in ("log.jsonl", "start.json", "end.json", "recipe.toml"):
            (work / name).unlink(missing_ok=True)
        return
    kept = work / "recipe.toml"
    if not (work / "checkpoints").is_dir() or not kept.is_file():
        return
    before, now = load_recipe(kept).to_json(), recipe.to_json()
    other = sorted(
        f"{table}.{key}"
        for table in now
        for key in now[table]
        if before[table].get(key) != now[table][key] and (table, key) != ("output", "keep")
    )
    if other:
        raise InvalidInput(
            f"a run in {work} that began with another recipe: {', '.join(other[:6])}",
            wanted="the recipe that the run began with",
            next_step="begin anew with resume=False (--fresh), or name another folder in [output]",
        )


def _looks(parts: Parts, kept: Path, model: Model, tell: Tell, *, anew: bool = False) -> list[Look]:
    """Looks at all dev and test sets, kept in a file: a resumed run does not look at its start twice."""
    from gnomon.evaluate import Run

    sets = (*parts.dev, *parts.test)
    if kept.is_file() and not anew:
        plain = json.loads(kept.read_text(encoding="utf-8"))
        return [
            Look(
                one["name"], one["metric"], one["value"],
                None if one["run"] is None else Run(one["name"], one["run"]), tuple(one["predicted"]),
            )
            for one in plain
        ]  # fmt: skip
    found = []
    for number, one in enumerate(sets):
        tell(FitProgress("looking", number, len(sets)))
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


def _gains(parts: Parts, starts: list[Look], ends: list[Look]) -> tuple[Gain, ...]:
    sets = [*((one, "dev") for one in parts.dev), *((one, "test") for one in parts.test)]
    return tuple(
        _gain(one, split, start, end) for (one, split), start, end in zip(sets, starts, ends, strict=True)
    )


def _gain(one: DevSet, split: str, start: Look, end: Look) -> Gain:
    from dataclasses import replace

    from gnomon.evaluate import compare

    plain = Gain(one.name, split, end.metric, start.value, end.value)
    if one.is_scored:
        low, high = _bootstrap(start.predicted, end.predicted, one.scores)
        return replace(plain, low=low, high=high)
    if start.run is None or end.run is None or len(one.relevant) < 10:
        return plain
    runs = replace(start.run, name="start"), replace(end.run, name="trained")
    verdict = compare(*runs, one.relevant, metric=end.metric)
    return replace(plain, verdict=verdict.to_json())


def _bootstrap(start: Any, end: Any, scores: Any, *, draws: int = 1000) -> tuple[float, float]:
    """The 95 % interval of the difference of two correlations over the same pairs, by percentiles."""
    import numpy as np

    from gnomon.train.dev import spearman

    rng = np.random.default_rng(0)
    before, after, truth = (np.asarray(one, dtype=np.float64) for one in (start, end, scores))
    found = []
    for _ in range(draws):
        at = rng.integers(0, len(truth), len(truth))
        found.append(spearman(after[at], truth[at]) - spearman(before[at], truth[at]))
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def _space(folder: Path, parts: Parts) -> Mapping[str, Any] | None:
    """The space of what was written, as it is served; None for a cross-encoder, which has none."""
    from gnomon.encode import load_encoder

    if parts.model.kind == "cross":
        return None
    space: Mapping[str, Any] = load_encoder(folder).space.to_json()
    return space


def _silent(_: FitProgress) -> None:
    return None


def _never() -> bool:
    return False
