"""Metrics of candidates for each query, found without the query's own judgment."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gnomon.adapt.candidates import Candidate, JudgedQueries, Learner
from gnomon.adapt.decision import Prior, Tried
from gnomon.adapt.offline import OfflineSearch
from gnomon.collection.collection import Collection
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.evaluate.metrics import Metric


class OutOfTime(Exception):
    """What is left to do would take longer than there is time."""


@dataclass(frozen=True)
class Deadline:
    """When trying further candidates ends, in seconds from the start."""

    seconds: float
    started: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds left; below 0 where it has passed."""
        return self.seconds - (time.perf_counter() - self.started)

    def require(self, seconds: float, what: str) -> None:
        """Raise OutOfTime unless `seconds` more are left."""
        if seconds > self.left:
            raise OutOfTime(f"{what} would take about {seconds:,.0f} s, and {max(0.0, self.left):,.0f} s are left")


@dataclass(frozen=True)
class CrossValidation:
    """The judged queries of a collection in folds, and the search that candidates are tried with.

    `folds` is the fold of each query. What is learnt for a fold's queries is learnt from the others alone.
    """

    kb: Collection
    search: OfflineSearch
    judged: JudgedQueries
    metric: Metric
    folds: Mapping[str, int]

    def values(self, candidate: Candidate, queries: JudgedQueries | None = None) -> dict[str, float]:
        """The metric of a candidate that learns nothing, for each query (or some) by id."""
        chosen = self.judged if queries is None else queries
        found = self.metric.per_query(self.search.run(candidate, chosen.ids), chosen.grades)
        return {query: found[query] for query in chosen.ids}

    def tried(self, candidate: Candidate, prior: Prior) -> Tried:
        """A candidate that learns nothing, with what trying it took. Raises as `OfflineSearch.run`."""
        started = time.perf_counter()
        return Tried(candidate, self.values(candidate), prior, time.perf_counter() - started)

    def learnt(
        self, learner: Learner, prior: Prior, folder: Path, *, deadline: Deadline, progress: ProgressCallback
    ) -> Tried:
        """A learner's candidates, each tried on the fold that it has not seen; the candidate itself is made later.

        Raises OutOfTime once the first fold says that all of them would take too long, and what the learner raises.
        """
        started, values, numbers = time.perf_counter(), {}, sorted(set(self.folds.values()))
        for done, fold in enumerate(numbers):
            progress(Progress(f"learning: {learner.name}", done, len(numbers), "fold"))
            own = [query for query in self.judged.ids if self.folds[query] == fold]
            others = [query for query in self.judged.ids if self.folds[query] != fold]
            place = folder / f"fold-{fold}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            candidate = learner.fit(self.kb, self.judged.take(others), place, progress=progress)
            values.update(self.values(candidate, self.judged.take(own)))
            shutil.rmtree(place, ignore_errors=True)
            spent = time.perf_counter() - started
            deadline.require(spent / (done + 1) * (len(numbers) - done), learner.name)
        progress(Progress(f"learning: {learner.name}", len(numbers), len(numbers), "fold"))
        candidate = Candidate(learner.name, learner.family)
        ordered = {query: values[query] for query in self.judged.ids}
        return Tried(candidate, ordered, prior, time.perf_counter() - started)
