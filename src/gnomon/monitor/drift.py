"""What is compared with the baseline: samples of queries and documents, and the golden queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.collection import Collection
from gnomon.collection.catalog.versions import Version
from gnomon.core.contracts import Encoder
from gnomon.evaluate.judgments import DataSet
from gnomon.monitor.alarms import Finding
from gnomon.monitor.baseline import Baseline
from gnomon.monitor.checks import drift
from gnomon.monitor.golden import Golden, golden_check, judged, made, measured, require_same
from gnomon.monitor.report import Check, Map
from gnomon.monitor.samples import Sample
from gnomon.monitor.settings import WatchSettings

_NO_BASELINE = "gnomon watch COLLECTION --set-baseline, while all is well"


@dataclass(frozen=True)
class Ground:
    """What a look stands on: the collection, the version that serves, the baseline, the looks before."""

    kb: Collection
    settings: WatchSettings
    version: Version
    before: Baseline | None
    past: Sequence[Mapping[str, Any]]
    seed: int


def compared(ground: Ground, name: str, sample: Sample | None) -> tuple[Finding, Map | None]:
    """Drift of "queries" or "documents", or why it cannot be told."""
    before = ground.before
    if sample is None:
        return _stands(name, "not looked at", "the model is not the one that made the baseline"), None
    if before is None:
        if len(sample):
            return _stands(name, "baseline taken", f"{len(sample):,}, {sample.source}"), None
        step = "give recent queries with --queries FILE, one a line"
        return _stands(name, "not enough data", f"no {name}: {sample.source} are none", step), None
    if before.space != ground.version.space.fingerprint:
        said = f"the baseline is of {before.version}, whose vectors do not compare with these"
        return _stands(name, "no baseline", said, _NO_BASELINE), None
    if name == "queries" and before.queries is not None and before.query_source != sample.source:
        said = f"the baseline is of {before.query_source}, these are {sample.source}"
        return _stands(name, "no baseline", said, "give queries as then, or --set-baseline"), None
    rows = before.documents if name == "documents" else before.queries
    return drift(name, sample.rows[:0] if rows is None else rows, sample, ground.settings, ground.seed)


@dataclass(frozen=True)
class GoldenSeen:
    """What the golden queries showed; `golden` and `kept` go into a baseline and into the history."""

    finding: Finding
    golden: Golden | None = None
    kept: Mapping[str, float] | None = None


def ask_golden(ground: Ground, encoder: Encoder | None) -> GoldenSeen:
    """Ask the golden queries and hold them to their limit. Raises InvalidInput for others than before."""
    before, given = ground.before, ground.settings.golden
    golden = None if before is None else before.golden
    if golden is not None and given is not None:
        require_same(golden, given, ground.settings.metric)
    if encoder is None:
        return GoldenSeen(_stands("golden", "not looked at", "the model cannot be used"))
    if golden is None:
        return _first(ground, given)
    now = measured(ground.kb, golden)
    finding, kept = golden_check(golden, now, frozenset(ground.kb.ids()), _sum_until_now(ground))
    return GoldenSeen(finding, golden, kept)


def _first(ground: Ground, given: DataSet | None) -> GoldenSeen:
    golden = made(ground.kb) if given is None else judged(given, ground.settings.metric)
    if golden is None:
        step = "give judged queries with --golden DATA"
        said = "too few queries can be made of these texts"
        return GoldenSeen(_stands("golden", "not enough data", said, step))
    golden = measured(ground.kb, golden)
    mean = float(np.mean(list(golden.values.values())))
    said = f"{golden.metric}: {mean:.3f}, {len(golden.queries)} queries, {golden.name}"
    if ground.before is None:
        return GoldenSeen(_stands("golden", "baseline taken", said), golden)
    return GoldenSeen(_stands("golden", "no baseline", said, _NO_BASELINE), golden)


def _sum_until_now(ground: Ground) -> float:
    """The falls added up since the baseline; anew after a rollback."""
    for look in reversed(ground.past):
        if ground.before is None or look.get("baseline") != ground.before.id:
            return 0.0
        if went_back(look):
            return 0.0
        if look.get("golden"):
            return float(look["golden"]["sum"])
    return 0.0


def went_back(look: Mapping[str, Any]) -> bool:
    """Whether a look ended with a rollback."""
    return bool((look.get("rolled_back") or {}).get("done"))


def _stands(name: str, state: Any, said: str, hint: str = "") -> Finding:
    """A check without a test."""
    return Finding(Check(name, state, said, hint=hint))
