"""Drift: whether samples of queries and of documents differ from the baseline's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gnomon.collection.catalog.versions import Version
from gnomon.core.contracts import Array
from gnomon.kernels.drift import mmd_test, tell_apart
from gnomon.monitor.alarms import CheckWithTests
from gnomon.monitor.baseline import Baseline
from gnomon.monitor.report import MIN_DRIFT_SAMPLE, Cause, Check, DriftMap, MonitorSettings
from gnomon.monitor.samples import Sample

NEW_BASELINE_HINT = "gnomon monitor COLLECTION --set-baseline, while all is well"
MORE_DATA_HINTS = {
    "queries": "give more recent queries with --queries FILE, one a line; if the baseline has too few, take a new one "
    "with --set-baseline",
    "documents": "monitor drift once there are more documents, then --set-baseline",
}
_ALARM_HINTS = {
    "queries": "read the newest texts; judge some of them to see whether they are answered (gnomon eval queries), "
    "and accept the change with --set-baseline if it is intended",
    "documents": "read the newest texts; if the change is intended, accept it with --set-baseline",
}
_CAUSES: Mapping[str, Cause] = {"queries": "queries changed", "documents": "documents changed"}
_MAX_EXAMPLES = 5
_MAX_POINTS = 300


def drift_check(
    name: str,
    sample: Sample | None,
    baseline: Baseline | None,
    *,
    version: Version,
    settings: MonitorSettings,
    seed: int,
) -> tuple[CheckWithTests, DriftMap | None]:
    """Whether a sample of `name` ("queries" or "documents") differs from the baseline's, with a map of both."""
    if sample is None:
        message = "the model is not the one that made the baseline"
        return CheckWithTests(Check(name, "not checked", message)), None
    if baseline is None:
        if len(sample):
            return CheckWithTests(Check(name, "baseline taken", f"{len(sample):,}, {sample.source}")), None
        hint = "give recent queries with --queries FILE, one a line"
        message = f"no {name}" if name == "documents" else sample.source
        return CheckWithTests(Check(name, "not enough data", message, hint=hint)), None
    if baseline.space != version.space.fingerprint:
        message = f"the baseline is of {baseline.version}, whose vectors are not comparable with these"
        return CheckWithTests(Check(name, "no baseline", message, hint=NEW_BASELINE_HINT)), None
    if name == "queries" and len(sample) and baseline.queries is not None and baseline.query_source != sample.source:
        message = f"the baseline is of {baseline.query_source}, these are {sample.source}"
        hint = "give queries as for the baseline, or --set-baseline"
        return CheckWithTests(Check(name, "no baseline", message, hint=hint)), None
    rows = baseline.documents if name == "documents" else baseline.queries
    return _compare(
        name, sample.rows[:0] if rows is None else rows, sample, permutations=settings.permutations, seed=seed
    )


def _compare(
    name: str, before: Array, now: Sample, *, permutations: int, seed: int
) -> tuple[CheckWithTests, DriftMap | None]:
    """Two tests of whether a sample differs from the baseline's, with the most novel texts as examples."""
    smaller = min(len(before), len(now))
    if smaller < MIN_DRIFT_SAMPLE:
        which = "the baseline" if len(before) < MIN_DRIFT_SAMPLE else now.source
        message = f"{smaller} of {MIN_DRIFT_SAMPLE} {name}, {which}"
        return CheckWithTests(Check(name, "not enough data", message, hint=MORE_DATA_HINTS[name])), None
    distance = mmd_test(before, now.rows, permutations=permutations, seed=seed)
    classifier = tell_apart(before, now.rows, permutations=permutations, seed=seed)
    p_values = {f"{name}: MMD": distance.p_value, f"{name}: classifier": classifier.p_value}
    by_novelty = np.argsort(-classifier.scores)
    distinct = dict.fromkeys(now.labels[at] for at in by_novelty) if now.labels else {}
    figures = {
        "before": len(before), "now": len(now), "source": now.source,
        "mmd_squared": distance.squared, "mmd_p": distance.p_value,
        "classifier_auc": classifier.auc, "classifier_p": classifier.p_value,
    }  # fmt: skip
    sizes = f"{len(now):,} {name} against {len(before):,} of the baseline"
    message = f"{sizes}: MMD p = {distance.p_value:.3g}, classifier p = {classifier.p_value:.3g}"
    alarm_message = (
        f"{sizes} differ: MMD p = {distance.p_value:.3g}; a classifier tells them apart, p = "
        f"{classifier.p_value:.3g}, AUC {classifier.auc:.2f}"
    )
    check = Check(name, "ok", message, figures=figures, examples=tuple(list(distinct)[:_MAX_EXAMPLES]))
    tested = CheckWithTests(check, p_values, alarm_message, _CAUSES[name], _ALARM_HINTS[name])
    return tested, _map(before, now.rows, seed)


def _map(before: Array, now: Array, seed: int) -> DriftMap:
    """Both on the plane of the difference of their means and of the widest remaining spread."""
    random = np.random.default_rng(seed)
    parts = [
        rows[random.choice(len(rows), min(_MAX_POINTS, len(rows)), replace=False)].astype(np.float64)
        for rows in (before, now)
    ]
    centre = before.mean(axis=0)
    across = now.mean(axis=0) - centre
    across = across / max(float(np.linalg.norm(across)), 1e-12)
    pooled = np.concatenate(parts) - centre
    rest = pooled - np.outer(pooled @ across, across)
    wide = np.linalg.svd(rest, full_matrices=False)[2][0]
    axes = np.stack([across, wide], axis=1)
    return DriftMap((parts[0] - centre) @ axes, (parts[1] - centre) @ axes)
