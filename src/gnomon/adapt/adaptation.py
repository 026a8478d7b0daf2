"""A search adapted to its corpus by a few judged queries: tried, weighed, and offered as a version, or declined."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from gnomon.adapt.candidates import Candidate, JudgedQueries, Learner
from gnomon.adapt.cross_validation import CrossValidation, Deadline, OutOfTime
from gnomon.adapt.decision import Estimate, Prior, Tried, assess, choose, expected_of_choosing, folds_of
from gnomon.adapt.judged import CheckedJudgments, NothingToLearn, checked_judgments
from gnomon.adapt.learners import known_learners
from gnomon.adapt.offer import offer
from gnomon.adapt.offline import OfflineSearch
from gnomon.adapt.report import write_report
from gnomon.adapt.search_space import LEARNT_PRIORS, Option, options, second_model
from gnomon.adapt.settings import AdaptReport, AdaptSettings
from gnomon.collection.collection import Collection
from gnomon.core.errors import GnomonError
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.encode.matryoshka import dims_matryoshka
from gnomon.evaluate.comparison import PairedValues
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import parse_metric
from gnomon.evaluate.significance import mean_intervals, queries_needed

FOLDER = "adapt"
_BEST = 0.9995
"""A mean of the metric from which there is nothing left to gain."""


def adapt(
    kb: Collection,
    judgments: str | Path | DataSet | JudgedQueries,
    settings: AdaptSettings | None = None,
    *,
    learners: Sequence[Learner] | None = None,
    progress: ProgressCallback = no_progress,
) -> AdaptReport:
    """Try other ways to search on judged queries, and build the best as a version where it is shown to be better.

    `judgments` is a BEIR folder, a JSONL file, or judged queries as values. What is learnt from them is tried on
    queries that it was not learnt from. `learners` replaces those that the package knows. Nothing of the live version
    is changed; an HTML report is written into the collection's folder `adapt`.
    Raises InvalidInput for judgments that cannot be used, and CollectionBusy while a migration runs.
    """
    settings, started = settings or AdaptSettings(), time.perf_counter()
    known = known_learners(settings.reranker, max_cost=settings.max_cost) if learners is None else tuple(learners)
    try:
        checked = checked_judgments(kb, judgments, split=settings.split)
    except NothingToLearn as declined:
        why = f"Declined: {declined.message}."
        return AdaptReport("declined", why, kb.internals.address, kb.version.name, "", 0, settings.metric, 0.0)
    run = _Adaptation(kb, checked, settings=settings, learners=known if settings.learn else (), progress=progress)
    report = replace(run.run(), seconds=time.perf_counter() - started)
    return write_report(report, kb.internals.folder / FOLDER)


class _Adaptation:
    """One run of adapting, step by step."""

    def __init__(
        self,
        kb: Collection,
        checked: CheckedJudgments,
        *,
        settings: AdaptSettings,
        learners: Sequence[Learner],
        progress: ProgressCallback,
    ) -> None:
        self._kb, self._checked, self._settings = kb, checked, settings
        self._learners, self._progress = {learner.name: learner for learner in learners}, progress
        self._folder = kb.internals.folder / FOLDER
        self._deadline = Deadline(60 * settings.max_minutes)
        self._metric, judged = parse_metric(settings.metric), checked.judged
        self._search = OfflineSearch(kb, judged.texts, k=self._metric.cutoff or 100)
        folds = folds_of(judged.texts, seed=settings.seed)
        self._tests = CrossValidation(kb, self._search, judged, self._metric, folds)
        self._skipped: dict[str, str] = {}
        self._notes = list(checked.notes)

    def run(self) -> AdaptReport:
        """All steps. Raises what any of them raises."""
        self._progress(Progress("searching as it is", 0, len(self._checked.judged), "query"))
        baseline = self._tests.values(Candidate("as it is", "fusion"))
        mean = float(np.mean(list(baseline.values())))
        report = AdaptReport(
            outcome="declined",
            why="",
            collection=self._kb.internals.address,
            baseline=self._search.version.name,
            judgments=self._checked.name,
            queries=len(baseline),
            metric=self._metric.name,
            mean_baseline=mean,
            confidence=self._settings.confidence,
        )
        if mean >= _BEST:
            why = f"nothing to gain: every judged query has the {self._metric} of a perfect order already"
            return replace(report, why=f"Declined: {why}.", notes=tuple(self._notes))
        tried = [*self._given(), *self._learnt()]
        estimates = assess(baseline, tried, confidence=self._settings.confidence)
        chosen = choose(estimates)
        after = expected_of_choosing(baseline, tried, self._tests.folds, confidence=self._settings.confidence)
        moved = np.array([after[query] - baseline[query] for query in baseline])
        interval, *_ = mean_intervals(moved[:, None], limits=(-1.0, 1.0))
        report = replace(
            report,
            estimates=estimates,
            skipped=self._skipped,
            notes=tuple(self._notes),
            gain=float(moved.mean()),
            gain_interval=interval,
        )
        if chosen is None:
            return replace(report, why=_declined(report, baseline, tried))
        own = next(one for one in tried if one.candidate is chosen.candidate)
        why = _shown(report, chosen)
        return self._offered(replace(report, chosen=chosen, why=why), baseline, own)

    def _given(self) -> Iterator[Tried]:
        """The candidates that learn nothing, in the order of what they cost."""
        version = self._search.version
        models = self._second_models()
        dims = [dim for dim in dims_matryoshka(version.model) if dim < version.space.dim]
        every = options(version.retrieval, models=models, dims=sorted(dims, reverse=True)[:2])
        for done, option in enumerate(every):
            name = option.candidate.name
            self._progress(Progress("trying candidates", done, len(every), "candidate"))
            try:
                self._embed(option)
                yield self._tests.tried(option.candidate, option.prior)
            except OutOfTime as late:
                self._skipped[name] = f"{late}: give more time with --max-minutes"
            except GnomonError as error:
                self._skipped[name] = error.message
        self._progress(Progress("trying candidates", len(every), len(every), "candidate"))

    def _second_models(self) -> tuple[str, ...]:
        if self._settings.models is not None:
            return self._settings.models
        found, note = second_model(self._search.version.model)
        if found is None:
            self._notes.append(note)
            return ()
        return (found,)

    def _embed(self, option: Option) -> None:
        """The vectors of a second space, within the time there is."""
        for space in option.candidate.changes.get("spaces", ()):
            self._search.embed(space["model"], progress=self._progress, require=self._deadline.require)

    def _learnt(self) -> Iterator[Tried]:
        """The candidates that are learnt, each tried on queries it has not seen."""
        for learner in self._learners.values():
            prior = LEARNT_PRIORS.get(learner.family, Prior())
            try:
                yield self._tests.learnt(
                    learner,
                    prior,
                    self._folder / "folds" / learner.family,
                    deadline=self._deadline,
                    progress=self._progress,
                )
            except OutOfTime as late:
                self._skipped[learner.name] = f"{late}: give more time with --max-minutes"
            except GnomonError as error:
                self._skipped[learner.name] = error.message
        shutil.rmtree(self._folder / "folds", ignore_errors=True)

    def _offered(self, report: AdaptReport, baseline: dict[str, float], own: Tried) -> AdaptReport:
        """The chosen candidate as a version, unless it is a dry run."""
        changes = PairedValues(report.metric, baseline, own.values).changes
        report = replace(report, changes=changes, texts=self._checked.judged.texts)
        if self._settings.dry_run:
            return replace(report, outcome="chosen", why=f"{report.why} Nothing was built: it is a dry run.")
        learner, candidate = self._learners.get(own.candidate.name), own.candidate
        if learner is not None:
            place = self._folder / f"{learner.family}-{time.strftime('%Y%m%dT%H%M%S')}"
            place.mkdir(parents=True)
            candidate = learner.fit(self._kb, self._checked.judged, place, progress=self._progress)
        return offer(self._kb, candidate, report, switch=self._settings.switch, progress=self._progress)


def _shown(report: AdaptReport, one: Estimate) -> str:
    low, high = one.interval
    return (
        f"{one.candidate.name}: {report.metric} {one.mean:.4f} against {report.mean_baseline:.4f} of {report.baseline} "
        f"over {report.queries:,} judged queries, a difference of {one.difference:+.4f} ({low:+.4f} to {high:+.4f}, "
        f"p = {one.p_value:.2g}, corrected for {len(report.estimates)} candidates); to be expected: "
        f"{one.expected:+.4f}, better with a chance of {one.chance}."
    )


def _declined(report: AdaptReport, baseline: dict[str, float], tried: Sequence[Tried]) -> str:
    """One line that says so."""
    plain = f"Declined: of {len(tried)} candidates none is shown to be better than {report.baseline}"
    if not report.estimates:
        return f"{plain}."
    best = max(report.estimates, key=lambda one: one.probability)
    line = (
        f"{plain} by {report.queries:,} judged queries; the likeliest, {best.candidate.name} "
        f"({best.expected:+.4f} to be expected), is better with a chance of {best.chance}, and "
        f"{report.confidence:.0%} is needed"
    )
    return line + (_enough(best, baseline, tried) or ".")


def _enough(best: Estimate, baseline: dict[str, float], tried: Sequence[Tried]) -> str:
    """How many queries would show a gain of the size to be expected, where there is one."""
    own = next(one for one in tried if one.candidate is best.candidate)
    sd = float(np.std([own.values[query] - baseline[query] for query in baseline], ddof=1))
    if best.expected <= 0 or sd == 0:
        return ""
    return f"; about {queries_needed(sd, best.expected):,} judged queries would show such a gain."
