"""The gate: may a candidate version go live? Judged queries decide; without any, only breakage is detected."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gnomon.collection.catalog.versions import NotReady, timestamp
from gnomon.collection.collection import Collection
from gnomon.collection.opening import open_collection
from gnomon.collection.serving.shared_space import for_role
from gnomon.collection.settings import Mode
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.serialize import to_plain
from gnomon.evaluate.comparison import (
    MIN_QUERIES,
    DecisionRule,
    Outcome,
    PairedValues,
    Verdict,
    compare,
    judge,
)
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import parse_metric, per_query
from gnomon.evaluate.pseudo import RecallAlarm, detect_breakage, pseudo_queries, recall_by_kind
from gnomon.evaluate.run import Run
from gnomon.evaluate.significance import holm_adjusted, sign_flip_p
from gnomon.migrate.cost import Latency, VersionSize, measure_latencies, measure_size
from gnomon.migrate.judgments import GateSettings, Judgments, load_judgments

GateOutcome = Literal["better", "not worse", "worse", "undecided", "unproven", "broken"]
SwitchIf = Literal["not-worse", "better", "never"]
PASSING_OUTCOMES: Mapping[SwitchIf, tuple[GateOutcome, ...]] = {
    "better": ("better",),
    "not-worse": ("better", "not worse"),
    "never": (),
}
MAX_RECALL_LOSS = 0.1
"""The loss of recall of its own texts, for any kind of generated query, by which a candidate is broken."""
_DEPTH, _QUERIES_PER_KIND, _MAX_TRIES = 100, 200, 20
_QUERIES_SHOWN = 10
MAX_SEGMENTS = 50
"""Only so many of the largest segments are compared: each one more widens the intervals of all."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The comparison on one segment's queries: means, the difference with its interval, and the outcome.

    With fewer than ten queries `interval`, `p_value` and `outcome` are None. Intervals and p-values are
    corrected for the number of segments.
    """

    name: str
    n: int
    mean_baseline: float
    mean_candidate: float
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    outcome: Outcome | None = None

    @property
    def difference(self) -> float:
        """Candidate minus baseline."""
        return self.mean_candidate - self.mean_baseline

    @property
    def is_worse(self) -> bool:
        """Whether the candidate is significantly worse, by however little."""
        return self.interval is not None and self.interval[1] < 0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        return {**to_plain(self), "difference": self.difference, "is_worse": self.is_worse}


def compare_segments(
    baseline: Mapping[str, float],
    candidate: Mapping[str, float],
    segments: Mapping[str, Sequence[str]],
    *,
    rule: DecisionRule,
) -> tuple[Segment, ...]:
    """Compare each segment's queries, the largest segment first. A query may belong to several.

    `baseline` and `candidate` are the metric by query id, `segments` the names of each query's segments.
    """
    members: dict[str, list[str]] = {}
    for query in baseline:
        for name in segments.get(query, ()):
            members.setdefault(name, []).append(query)
    names = sorted(members, key=lambda name: (-len(members[name]), name))[:MAX_SEGMENTS]
    judged = [name for name in names if len(members[name]) >= MIN_QUERIES]
    pairs = {
        name: PairedValues(
            name,
            {query: baseline[query] for query in members[name]},
            {query: candidate[query] for query in members[name]},
        )
        for name in judged
    }
    p_values = dict(zip(judged, holm_adjusted([sign_flip_p(pairs[name].differences) for name in judged]), strict=True))
    corrected = DecisionRule(rule.margin, rule.alpha, comparisons=max(1, len(judged)))
    found = []
    for name in names:
        of = members[name]
        before, after = (sum(values[query] for query in of) / len(of) for values in (baseline, candidate))
        one = Segment(name, len(of), before, after)
        if name in pairs:
            verdict = judge(pairs[name], corrected, p_value=p_values[name])
            one = replace(one, interval=verdict.interval, p_value=verdict.p_value, outcome=verdict.outcome)
        found.append(one)
    return tuple(found)


@dataclass(frozen=True)
class GateReport:
    """The comparison of a candidate `version` with the live one (`baseline`). `outcome` is the verdict's; without
    judged queries it is "unproven", or "broken" if the candidate finds its own texts much less often.

    `latency`, `size` and each value of `recall` (by kind of generated query) have the live version's figures,
    then the candidate's. `data` describes the data set; `texts` has the queries that changed most.
    """

    version: str
    baseline: str
    spaces: tuple[str, str]
    outcome: GateOutcome
    settings: GateSettings
    queries: int
    latency: tuple[Latency, ...]
    size: tuple[VersionSize, VersionSize]
    data: Mapping[str, Any]
    verdict: Verdict | None = None
    segments: tuple[Segment, ...] = ()
    recall: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    alarms: tuple[RecallAlarm, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    at: str = ""
    seconds: float = 0.0

    @property
    def worse_segments(self) -> tuple[Segment, ...]:
        """The segments that are significantly worse, whatever the mean of all queries."""
        return tuple(segment for segment in self.segments if segment.is_worse)

    @property
    def explained(self) -> str:
        """The outcome in a sentence or two."""
        if self.verdict is not None:
            worse = ", ".join(f"{s.name} ({s.difference:+.4f})" for s in self.worse_segments)
            return self.verdict.explain() + (f" Significantly worse: {worse}." if worse else "")
        if self.outcome == "broken":
            return f"{self.version} is broken: {'; '.join(map(str, self.alarms))}."
        evidence = "; ".join(map(str, self.alarms)) or (
            f"it finds its own texts about as often ({self.queries:,} queries generated from them)"
            if self.queries
            else self.data["name"]
        )
        versions = f"{self.version} is as good as {self.baseline}"
        return f"Without judged queries it is unknown whether {versions}; {evidence}."

    def allows(self, switch_if: SwitchIf, *, without_proof: bool = False) -> bool:
        """Whether the candidate may go live."""
        if self.outcome == "unproven":
            return without_proof and switch_if != "never"
        return self.outcome in PASSING_OUTCOMES[switch_if]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON; of the verdict's queries only those that changed most."""
        return {
            **to_plain(self),
            "explained": self.explained,
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "segments": [segment.to_json() for segment in self.segments],
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "size": [each.to_json() for each in self.size],
        }


def gate(
    kb: Collection,
    version: str,
    settings: GateSettings | None = None,
    *,
    dataset: DataSet | None = None,
    progress: ProgressCallback = no_progress,
) -> GateReport:
    """Compare a built version with the live one; a version that lags behind is caught up first.

    `dataset` replaces the data set that the settings name; `progress` counts the queries done.
    Raises InvalidInput for the live version itself and as `load_judgments` does; NotReady if the
    version lacks documents.
    """
    settings, started = settings or GateSettings(), time.perf_counter()
    live = next(info.name for info in kb.versions.list() if info.state == "live")
    if kb.versions.get(version).name == live:
        raise InvalidInput(f"{version} against itself: it is live", expected="another version", hint="gnomon versions")
    judged = load_judgments(kb, settings, dataset)
    with _open_version(kb, live) as first, _open_version(kb, version) as second:
        if judged is None:
            report = _detect_breakage((first, second), settings, progress)
        else:
            report = _compare((first, second), judged, settings, progress=progress)
    return replace(report, at=timestamp(), seconds=time.perf_counter() - started)


def _compare(
    kbs: tuple[Collection, Collection], judged: Judgments, settings: GateSettings, *, progress: ProgressCallback
) -> GateReport:
    queries, metric = judged.queries, parse_metric(settings.metric)
    runs = _runs(kbs, queries, progress, k=max(_DEPTH, metric.cutoff or 0))
    verdict = compare(*runs, judged.relevant, metric=metric, margin=settings.margin, alpha=settings.alpha)
    before, after = (per_query(run, judged.relevant, [metric])[metric] for run in runs)
    rule = DecisionRule(settings.margin, settings.alpha)
    dataset = judged.dataset
    return GateReport(
        **_version_facts(kbs, list(queries.values())),
        outcome=verdict.outcome,
        settings=settings,
        queries=len(queries),
        verdict=verdict,
        segments=compare_segments(before, after, judged.segments, rule=rule) if judged.segments else (),
        data={"name": dataset.name, "split": dataset.split, "path": str(dataset.path or "")},
        texts={change.query: queries[change.query] for change in verdict.changes[:_QUERIES_SHOWN]},
    )


def _detect_breakage(
    kbs: tuple[Collection, Collection], settings: GateSettings, progress: ProgressCallback
) -> GateReport:
    """Whether both find their own texts; by vectors alone if these differ, as keywords would hide a broken model."""
    live, candidate = kbs
    try:
        dataset = pseudo_queries(live.chunk_texts(), per_kind=_QUERIES_PER_KIND)
    except InvalidInput as error:  # hardly any text, or all of it alike
        return _without_queries(kbs, settings, error.message)
    mode: Mode | None = None if live.version.space == candidate.version.space else "dense"
    runs = [kb.run(dataset.queries, k=10, mode=mode, progress=progress) for kb in kbs]
    then, found = (recall_by_kind(dataset, {query: run.ranking(query) for query in dataset.queries}) for run in runs)
    alarms = detect_breakage(found, then)
    is_broken = any(alarm.expected.recall - alarm.measured.recall >= MAX_RECALL_LOSS for alarm in alarms)
    return GateReport(
        **_version_facts(kbs, list(dataset.queries.values())),
        outcome="broken" if is_broken else "unproven",
        settings=settings,
        queries=len(dataset.queries),
        recall={kind: (then[kind].recall, found[kind].recall) for kind in then},
        alarms=alarms,
        data={"name": "queries generated from the collection", "split": "", "path": ""},
    )


def _without_queries(kbs: tuple[Collection, Collection], settings: GateSettings, why: str) -> GateReport:
    return GateReport(
        **_version_facts(kbs, []),
        outcome="unproven",
        settings=settings,
        queries=0,
        data={"name": f"no queries could be generated: {why}", "split": "", "path": ""},
    )


def _runs(
    kbs: tuple[Collection, Collection], queries: Mapping[str, str], progress: ProgressCallback, *, k: int
) -> tuple[Run, Run]:
    """Both versions' runs, named by the versions; progress counts the queries of both."""
    of = len(queries)
    first = kbs[0].run(queries, k=k, progress=_part_of(progress, 0, 2 * of))
    second = kbs[1].run(queries, k=k, progress=_part_of(progress, of, 2 * of))
    return replace(first, name=kbs[0].version.name), replace(second, name=kbs[1].version.name)


def _part_of(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    """A callback for one of several runs, which counts those before it too."""
    return lambda event: progress(replace(event, done=before + event.done, total=total))


def _version_facts(kbs: tuple[Collection, Collection], queries: Sequence[str]) -> dict[str, Any]:
    live, candidate = kbs
    return {
        "version": candidate.version.name,
        "baseline": live.version.name,
        "spaces": (live.version.space.short, candidate.version.space.short),
        "latency": measure_latencies(kbs, queries),
        "size": (measure_size(live), measure_size(candidate)),
    }


@contextmanager
def _open_version(kb: Collection, name: str) -> Iterator[Collection]:
    """A collection that serves this version. Writers of other processes may put it behind for a moment."""
    # Shares the encoder that this process has already loaded.
    served, tries = kb.internals.serving.served_version(kb.versions.get(name).id), 0
    encoder, further = served.encoders.encoder, [pool.encoder for pool in served.spaces]
    while True:
        try:
            every = list(dict.fromkeys((for_role(encoder, "document"), for_role(encoder, "query"), *further)))
            opened = open_collection(kb.internals.catalog.place, create=False, version=name, encoder=every)
            break
        except NotReady:
            tries += 1
            if tries == _MAX_TRIES:
                raise
            kb.versions.backfill(name)
    with opened:
        yield opened
