"""`fit`: train by a recipe, save the model, and report what it gained."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from filelock import BaseFileLock, FileLock, Timeout

from gnomon.core.errors import CollectionBusy, GnomonError
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.evaluate import parse_metric
from gnomon.train.checkpoint import drop_newest_checkpoint, record_divergence, require_same_recipe
from gnomon.train.distributed import broadcast_from_first, on_first_rank, process_group, rank
from gnomon.train.evaluation import SetEvaluation
from gnomon.train.loop import Loop
from gnomon.train.prepare import TrainingSetup, prepare
from gnomon.train.recipe.recipe import Recipe, load_recipe
from gnomon.train.report.report import write_report
from gnomon.train.report.results import (
    End,
    FitReport,
    Gain,
    evaluate_all,
    gain,
    read_evaluations,
    write_evaluations,
)
from gnomon.train.step import TrainingDiverged

T = TypeVar("T")


def fit(
    recipe: Recipe | str | Path,
    *,
    progress: ProgressCallback = no_progress,
    stop: Callable[[], bool] | None = None,
    resume: bool = True,
) -> FitReport:
    """Train by a recipe and save the model.

    A run that was stopped, by `stop` returning True after a step or by a power cut, resumes from its last
    checkpoint, with the result of a run that was not. A run that is done is not done again: with
    `resume` False it starts anew. Checkpoints, log and report lie beside the model, in FOLDER.training.
    Raises InvalidInput for what cannot be trained, TrainingDiverged, CollectionBusy where another process is
    at it, StorageError.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe)
    if recipe.data.dev or recipe.data.test:
        parse_metric(recipe.dev.metric)
    folder = Path(recipe.output.folder).expanduser().absolute()
    work = recipe.training_folder
    work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / "lock", timeout=0)
    with process_group(), tempfile.TemporaryDirectory() as scratch:
        on_first_rank(lambda: _acquire(lock, folder))
        try:
            progress = progress if rank() == 0 else no_progress
            on_first_rank(lambda: require_same_recipe(recipe, work, resume=resume))
            progress(Progress("checking"))
            setup = prepare(recipe, scratch=Path(scratch), progress=progress)
            return _train(setup, folder, work, progress=progress, stop=stop or _never, resume=resume)
        finally:
            lock.release()


def _acquire(lock: BaseFileLock, folder: Path) -> None:
    try:
        lock.acquire()
    except Timeout as error:
        raise CollectionBusy(
            f"another process trains into {folder}",
            expected="one run for a folder",
            hint="wait for it, or name another folder in [output]",
        ) from error


def _train(
    setup: TrainingSetup,
    folder: Path,
    work: Path,
    *,
    progress: ProgressCallback,
    stop: Callable[[], bool],
    resume: bool,
) -> FitReport:
    broadcast_from_first(setup.model.state_dict().values())
    loop = Loop(setup, work, progress=progress, stop=stop)
    starts: list[SetEvaluation] = []
    on_first_rank(lambda: starts.extend(_start_evaluations(setup, work / "start.json", progress)))
    if resume:
        loop.resume()
    try:
        end = loop.run()
    except TrainingDiverged:
        # Weights that gave such a loss at once were not good: the checkpoint before them is the last one.
        on_first_rank(lambda: drop_newest_checkpoint(work / "checkpoints", loop.state.step))
        on_first_rank(lambda: record_divergence(work, loop.state.step))
        raise
    if end == "interrupted":
        return on_first_rank(lambda: _report(setup, loop, folder, work=work, end=end))
    loop.finish()
    return on_first_rank(lambda: _save(setup, loop, folder, work=work, end=end, starts=starts, progress=progress))


def _start_evaluations(setup: TrainingSetup, kept: Path, progress: ProgressCallback) -> list[SetEvaluation]:
    if not kept.is_file():
        write_evaluations(kept, _evaluations(setup, progress))
    return read_evaluations(kept)


def _evaluations(setup: TrainingSetup, progress: ProgressCallback) -> list[SetEvaluation]:
    """The model as it is, on all dev and test sets."""
    return evaluate_all(
        (*setup.dev, *setup.test),
        setup.model,
        setup.recipe.dev.metric,
        precision=setup.precision,
        progress=progress,
    )


def _save(
    setup: TrainingSetup,
    loop: Loop,
    folder: Path,
    *,
    work: Path,
    end: End,
    starts: list[SetEvaluation],
    progress: ProgressCallback,
) -> FitReport:
    """Save the trained model, evaluate it, and write the report."""
    progress(Progress("saving", loop.state.step, int(loop.steps)))
    problems: list[str] = []

    def gains() -> tuple[Gain, ...]:
        ends = _evaluations(setup, progress)
        write_evaluations(work / "end.json", ends)
        sets = [*((one, "dev") for one in setup.dev), *((one, "test") for one in setup.test)]
        return tuple(gain(*each, before, end=after) for each, before, after in zip(sets, starts, ends, strict=True))

    try:
        setup.model.save(folder)
    except BaseException as error:
        _report(setup, loop, folder, work=work, end=end, problems=[f"saving the model: {error}"])
        raise
    space = _attempt("serving the model", lambda: _space(folder, setup), problems)
    found = _attempt("evaluating the model", gains, problems) or ()
    return _report(setup, loop, folder, work=work, end=end, gains=found, space=space, problems=problems)


def _attempt(stage: str, act: Callable[[], T], problems: list[str]) -> T | None:
    """What a stage after the training gives; None with a line in `problems` where it fails: the model is saved."""
    try:
        return act()
    except (GnomonError, OSError, ValueError, RuntimeError, ImportError, TypeError, KeyError) as error:
        problems.append(f"{stage}: {error}")
        return None


def _report(
    setup: TrainingSetup,
    loop: Loop,
    folder: Path,
    *,
    work: Path,
    end: End,
    gains: tuple[Gain, ...] = (),
    space: Mapping[str, Any] | None = None,
    problems: Sequence[str] = (),
) -> FitReport:
    state = loop.state
    own = setup.teacher
    teacher = {} if own is None else {"teacher": own.space.fingerprint, "teacher_usd": round(own.spent, 6)}
    report = FitReport(
        folder=str(folder),
        training=str(work),
        kind=setup.model.kind,
        end=end,
        steps=state.step,
        examples=state.examples,
        seconds=round(state.seconds, 2),
        precision=setup.precision,
        evaluations=state.evaluations,
        best=state.best,
        gains=gains,
        space=space,
        data={"digests": dict(setup.digests), "checked": setup.data.to_json(), **teacher},
        recipe=setup.recipe.to_json(),
        unused=state.unused(setup.batches.examples),
        alone=state.alone,
        problems=tuple(problems),
    )
    drawn: list[str] = []
    _attempt("drawing the report", lambda: write_report(report, work), drawn)
    return replace(report, problems=(*report.problems, *drawn))


def _space(folder: Path, setup: TrainingSetup) -> Mapping[str, Any] | None:
    """The space of the saved model; None for a cross-encoder, which has none."""
    from gnomon.encode import load_encoder, load_sparse_encoder

    if setup.model.kind == "cross":
        return None
    prompts = setup.model.prompts
    roles: dict[str, str] = {role: prompts.of(role, "") for role in ("query", "document")}
    # A folder with prompts for sources alone is served where the caller says which to use: none, here.
    given = roles if prompts.texts and not any(roles.values()) else None
    load = load_sparse_encoder if setup.model.kind == "sparse" else load_encoder
    space: Mapping[str, Any] = load(folder, prompts=given).space.to_json()
    return space


def _never() -> bool:
    return False
