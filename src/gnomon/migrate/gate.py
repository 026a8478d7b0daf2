"""The gate: may a candidate take over? Judged queries decide; without any, only breakage is looked for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from gnomon.collection.catalog.versions import NotReady, timestamp
from gnomon.collection.collection import Collection
from gnomon.collection.opening import open_collection
from gnomon.collection.settings import Mode
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.comparison import FEWEST, Outcome, Pair, Rule, Verdict, compare, judge
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import parse_metric, per_query
from gnomon.evaluate.pseudo import Alarm, breakage, found_by_kind, pseudo_queries
from gnomon.evaluate.run import Run
from gnomon.evaluate.significance import holm, sign_flip_p
from gnomon.migrate.cost import Latency, Size, latencies, size_of
from gnomon.migrate.judgments import GateSettings, Judgments, judgments

MOST = 50
"""Segments looked at: the largest. Each one more makes all the others less certain."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The queries of one segment: means, their difference with its interval, and the outcome.

    Where there are fewer than ten queries, `interval`, `p_value` and `outcome` are None. Intervals and
    p-values are corrected for the number of segments.
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
        """Whether it is worse beyond chance, by however little."""
        return self.interval is not None and self.interval[1] < 0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        interval = None if self.interval is None else list(self.interval)
        more = {"difference": self.difference, "is_worse": self.is_worse}
        return {**asdict(self), "interval": interval, **more}


def by_segment(
    baseline: Mapping[str, float],
    candidate: Mapping[str, float],
    segments: Mapping[str, Sequence[str]],
    rule: Rule,
) -> tuple[Segment, ...]:
    """Each segment's queries compared, the largest first. A query may belong to several.

    `baseline` and `candidate` are values by query id, `segments` the names that each id belongs to.
    """
    members: dict[str, list[str]] = {}
    for query in baseline:
        for name in segments.get(query, ()):
            members.setdefault(name, []).append(query)
    names = sorted(members, key=lambda name: (-len(members[name]), name))[:MOST]
    judged = [name for name in names if len(members[name]) >= FEWEST]
    pairs = {
        name: Pair(
            name,
            {query: baseline[query] for query in members[name]},
            {query: candidate[query] for query in members[name]},
        )
        for name in judged
    }
    p_values = dict(zip(judged, holm([sign_flip_p(pairs[name].differences) for name in judged]), strict=True))
    corrected = Rule(rule.margin, rule.alpha, comparisons=max(1, len(judged)))
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


GateOutcome = Literal["better", "not worse", "worse", "undecided", "unproven", "broken"]
SwitchIf = Literal["not-worse", "better", "never"]
ENOUGH: Mapping[SwitchIf, tuple[GateOutcome, ...]] = {
    "better": ("better",),
    "not-worse": ("better", "not worse"),
    "never": (),
}
BROKEN = 0.1
"""A share of its own sources that a candidate may not lose, beyond chance, of any kind of made query."""
_DEPTH, _PER_KIND, _TRIES = 100, 200, 20
_SHOWN = 10


@dataclass(frozen=True)
class Gated:
    """What a gate found between two versions. `outcome` is the verdict's; without judged queries it is
    "unproven", or "broken" where the candidate finds its own texts much less often than the live version.

    `latency` and `size` are the live version's, then the candidate's. `segments` are empty where none were
    asked for. `recall` has for each kind of made query the shares found, live and candidate.
    """

    version: str
    baseline: str
    spaces: tuple[str, str]
    outcome: GateOutcome
    settings: GateSettings
    queries: int
    verdict: Verdict | None
    segments: tuple[Segment, ...]
    recall: Mapping[str, tuple[float, float]]
    alarms: tuple[Alarm, ...]
    latency: tuple[Latency, ...]
    size: tuple[Size, Size]
    data: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    at: str = ""
    seconds: float = 0.0

    @property
    def worse_segments(self) -> tuple[Segment, ...]:
        """Those that are worse beyond chance, whatever the mean says."""
        return tuple(segment for segment in self.segments if segment.is_worse)

    @property
    def explained(self) -> str:
        """The outcome in a sentence."""
        if self.verdict is not None:
            worse = ", ".join(f"{s.name} ({s.difference:+.4f})" for s in self.worse_segments)
            return self.verdict.explain() + (f" Worse beyond chance: {worse}." if worse else "")
        if self.outcome == "broken":
            return f"{self.version} is broken: {'; '.join(map(str, self.alarms))}."
        seen = "; ".join(map(str, self.alarms)) or (
            f"it finds its own texts about as often ({self.queries:,} queries made from them)"
            if self.queries
            else self.data["name"]
        )
        versions = f"{self.version} is as good as {self.baseline}"
        return f"Without judged queries nobody knows whether {versions}; {seen}."

    def allows(self, switch_if: SwitchIf, *, without_proof: bool = False) -> bool:
        """Whether it may take over."""
        if self.outcome == "unproven":
            return without_proof and switch_if != "never"
        return self.outcome in ENOUGH[switch_if]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping: all but the queries that did not change most."""
        return {
            "version": self.version,
            "baseline": self.baseline,
            "spaces": list(self.spaces),
            "outcome": self.outcome,
            "explained": self.explained,
            "settings": self.settings.to_json(),
            "queries": self.queries,
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "segments": [segment.to_json() for segment in self.segments],
            "recall": {kind: list(shares) for kind, shares in self.recall.items()},
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "latency": [each.to_json() for each in self.latency],
            "size": [each.to_json() for each in self.size],
            "data": dict(self.data),
            "texts": dict(self.texts),
            "at": self.at,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Asking:
    """Who hears of queries done, of how many; `dataset` stands for what the settings name."""

    queries: Callable[[int, int], None] = lambda _done, _of: None
    dataset: DataSet | None = None


def gate(kb: Collection, version: str, settings: GateSettings | None = None, asking: Asking | None = None) -> Gated:
    """Hold a version against the live one. It must be whole; one that lags a little is caught up first.

    Raises InvalidInput for the live version itself and as `judgments` does; NotReady where documents lack.
    """
    settings, asking, started = settings or GateSettings(), asking or Asking(), time.perf_counter()
    live = next(info.name for info in kb.versions.list() if info.state == "live")
    if kb.versions.get(version).name == live:
        raise InvalidInput(f"{version} against itself: it is live", expected="another version", hint="gnomon versions")
    judged = judgments(kb, settings, asking.dataset)
    with _opened(kb, live) as first, _opened(kb, version) as second:
        if judged is None:
            found = _broken((first, second), settings, asking)
        else:
            found = _judged((first, second), judged, settings, asking)
    return replace(found, at=timestamp(), seconds=time.perf_counter() - started)


def _judged(kbs: tuple[Collection, Collection], judged: Judgments, settings: GateSettings, asking: Asking) -> Gated:
    queries, metric = judged.queries, parse_metric(settings.metric)
    depth = max(_DEPTH, metric.cutoff or 0)
    runs = _runs(kbs, queries, asking, k=depth)
    verdict = compare(*runs, judged.relevant, metric=metric, margin=settings.margin, alpha=settings.alpha)
    before, after = (per_query(run, judged.relevant, [metric])[metric] for run in runs)
    rule = Rule(settings.margin, settings.alpha)
    dataset = judged.dataset
    return Gated(
        **_about(kbs, list(queries.values())),
        outcome=verdict.outcome,
        settings=settings,
        queries=len(queries),
        verdict=verdict,
        segments=by_segment(before, after, judged.segments, rule) if judged.segments else (),
        recall={},
        alarms=(),
        data={"name": dataset.name, "split": dataset.split, "path": str(dataset.path or "")},
        texts={change.query: queries[change.query] for change in verdict.changes[:_SHOWN]},
    )


def _broken(kbs: tuple[Collection, Collection], settings: GateSettings, asking: Asking) -> Gated:
    """Ask both for what they hold, by vectors where these differ: words would hide what is wrong there."""
    live, candidate = kbs
    try:
        dataset = pseudo_queries(live.chunk_texts(), per_kind=_PER_KIND)
    except InvalidInput as error:  # hardly any text, or all of it alike
        return _unproven(kbs, settings, error.message)
    mode: Mode | None = None if live.version.space == candidate.version.space else "dense"
    runs = [kb.run(dataset.queries, k=10, mode=mode, progress=asking.queries) for kb in kbs]
    then, found = (found_by_kind(dataset, {query: run.ranking(query) for query in dataset.queries}) for run in runs)
    alarms = breakage(found, then)
    is_broken = any(alarm.expected.recall - alarm.found.recall >= BROKEN for alarm in alarms)
    return Gated(
        **_about(kbs, list(dataset.queries.values())),
        outcome="broken" if is_broken else "unproven",
        settings=settings,
        queries=len(dataset.queries),
        verdict=None,
        segments=(),
        recall={kind: (then[kind].recall, found[kind].recall) for kind in then},
        alarms=alarms,
        data={"name": "queries made from the collection", "split": "", "path": ""},
    )


def _unproven(kbs: tuple[Collection, Collection], settings: GateSettings, why: str) -> Gated:
    """Nothing could be asked at all."""
    return Gated(
        **_about(kbs, []),
        outcome="unproven",
        settings=settings,
        queries=0,
        verdict=None,
        segments=(),
        recall={},
        alarms=(),
        data={"name": f"no queries could be made: {why}", "split": "", "path": ""},
    )


def _runs(kbs: tuple[Collection, Collection], queries: Mapping[str, str], asking: Asking, *, k: int) -> tuple[Run, Run]:
    """Runs that are named by their versions. Whoever hears of it, hears of both together."""
    of = len(queries)
    first = kbs[0].run(queries, k=k, progress=lambda done, _: asking.queries(done, 2 * of))
    second = kbs[1].run(queries, k=k, progress=lambda done, _: asking.queries(of + done, 2 * of))
    return replace(first, name=kbs[0].version.name), replace(second, name=kbs[1].version.name)


def _about(kbs: tuple[Collection, Collection], queries: Sequence[str]) -> dict[str, Any]:
    live, candidate = kbs
    return {
        "version": candidate.version.name,
        "baseline": live.version.name,
        "spaces": (live.version.space.short, candidate.version.space.short),
        "latency": latencies(kbs, queries),
        "size": (size_of(live), size_of(candidate)),
    }


@contextmanager
def _opened(kb: Collection, name: str) -> Iterator[Collection]:
    """A version by itself. Writers of other processes may put it behind for a moment."""
    # The model is loaded once: this process builds with it, or serves.
    encoder, tries = kb.internals.serving.served_version(kb.versions.get(name).id).encoders.encoder, 0
    while True:
        try:
            opened = open_collection(kb.status().path, create=False, version=name, encoder=encoder)
            break
        except NotReady:
            tries += 1
            if tries == _TRIES:
                raise
            kb.versions.backfill(name)
    with opened:
        yield opened
