"""`fit`: a recipe to a model that serves, with a report of what it gained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from gnomon.core.errors import CollectionBusy
from gnomon.evaluate import parse_metric
from gnomon.train.checkpoint import drop_newest, note_divergence, require_same
from gnomon.train.distributed import agree, by_first, joined_ranks, rank
from gnomon.train.evaluation import Look
from gnomon.train.loop import Loop
from gnomon.train.prepare import Parts, prepare
from gnomon.train.progress import End, FitProgress
from gnomon.train.recipe.recipe import Recipe, load_recipe
from gnomon.train.report.gains import Gain, gains_of, looks
from gnomon.train.step import TrainingDiverged

Tell = Callable[[FitProgress], None]


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
    if recipe.data.dev or recipe.data.test:
        parse_metric(recipe.dev.metric)
    folder = Path(recipe.output.folder).expanduser().absolute()
    work = folder.with_name(f"{folder.name}.training")
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock", timeout=0)
    asked = _Asked(progress or _silent, stop or _never, resume)
    with joined_ranks(), tempfile.TemporaryDirectory() as scratch:
        by_first(lambda: _take(lock, folder))
        try:
            return _fit(recipe, folder, work, asked, Path(scratch))
        finally:
            lock.release()


def _take(lock: BaseFileLock, folder: Path) -> None:
    try:
        lock.acquire()
    except Timeout as error:
        raise CollectionBusy(
            f"another process trains into {folder}",
            expected="one run for a folder",
            hint="wait for it, or name another folder in [output]",
        ) from error


@dataclass(frozen=True)
class _Asked:
    tell: Tell
    stop: Callable[[], bool]
    resume: bool


def _fit(recipe: Recipe, folder: Path, work: Path, asked: _Asked, scratch: Path) -> FitReport:
    tell = asked.tell if rank() == 0 else _silent
    by_first(lambda: require_same(recipe, work, resume=asked.resume))
    tell(FitProgress("checking", 0, 0))
    parts = prepare(recipe, scratch=scratch)
    agree(parts.model.state_dict().values())
    loop = Loop(parts, work, tell=tell, stop=asked.stop)
    starts: list[Look] = []
    by_first(lambda: starts.extend(looks(parts, work / "start.json", parts.model, _looking(tell))))
    if asked.resume:
        loop.resumed()
    try:
        end = loop.run()
    except TrainingDiverged:
        # Weights that gave such a loss at once were not good: the checkpoint before them is the last one.
        by_first(lambda: drop_newest(work / "checkpoints", loop.standing.step))
        by_first(lambda: note_divergence(work, loop.standing.step))
        raise
    if end != "interrupted":
        loop.finish()
    return by_first(lambda: _closed(parts, loop, end, starts, _Places(folder, work, tell)))


@dataclass(frozen=True)
class _Places:
    folder: Path
    work: Path
    tell: Tell


def _closed(parts: Parts, loop: Loop, end: End, starts: list[Look], at: _Places) -> FitReport:
    """Save the model where the run is through, and write the report."""
    from gnomon.train.report.report import write_report

    standing = loop.standing
    gains: tuple[Gain, ...] = ()
    space = None
    if end != "interrupted":
        at.tell(FitProgress("saving", standing.step, int(loop.steps)))
        parts.model.save(at.folder)
        ends = looks(parts, at.work / "end.json", parts.model, _looking(at.tell), anew=True)
        gains = gains_of(parts, starts, ends)
        space = _space(at.folder, parts)
    report = FitReport(
        str(at.folder), str(at.work), parts.model.kind, end, standing.step, standing.examples,
        round(standing.seconds, 2), parts.precision, standing.looks, standing.best, gains, space,
        _data(parts), parts.recipe.to_json(),
    )  # fmt: skip
    write_report(report, at.work)
    return report


def _data(parts: Parts) -> dict[str, Any]:
    teacher = {} if parts.teacher is None else {"teacher": parts.teacher.space.fingerprint}
    return {"digests": dict(parts.digests), "checked": parts.data.to_json(), **teacher}


def _looking(tell: Tell) -> Callable[[int, int], None]:
    return lambda done, of: tell(FitProgress("looking", done, of))


def _space(folder: Path, parts: Parts) -> Mapping[str, Any] | None:
    """The space of what was written, as it is served; None for a cross-encoder, which has none."""
    from gnomon.encode import load_encoder

    if parts.model.kind == "cross":
        return None
    prompts = parts.model.prompts
    roles: dict[str, str] = {role: prompts.of(role, "") for role in ("query", "document")}
    # A folder with prompts for sources alone is served where the caller says which to use: none, here.
    given = roles if prompts.texts and not any(roles.values()) else None
    space: Mapping[str, Any] = load_encoder(folder, prompts=given).space.to_json()
    return space


def _silent(_: FitProgress) -> None:
    return None


def _never() -> bool:
    return False
