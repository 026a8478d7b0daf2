"""`monitor`: one monitoring run of a collection."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from gnomon.collection import Collection
from gnomon.collection.catalog.versions import Version
from gnomon.core.contracts import Encoder
from gnomon.core.errors import CollectionBusy, InvalidInput, NothingIndexed
from gnomon.core.files import storage_errors
from gnomon.monitor.alarms import CheckWithTests, attribute, decide
from gnomon.monitor.baseline import FOLDER, Baseline, load_history, new_id, save_history
from gnomon.monitor.checks import check_canaries, check_latency, check_recall, check_vectors
from gnomon.monitor.drift import NEW_BASELINE_HINT, drift_check
from gnomon.monitor.golden import (
    GoldenResult,
    golden_check,
    golden_from_corpus,
    golden_from_judgments,
    measure,
    require_same,
)
from gnomon.monitor.history import save_latest
from gnomon.monitor.report import MIN_RECALL_QUERIES, Check, DriftMap, MonitorReport, MonitorSettings, RolledBack
from gnomon.monitor.samples import Sample, document_sample, query_sample, sample_texts

ORDER = ("canaries", "vectors", "recall", "queries", "documents", "golden", "latency")
"""The checks; each relies on those before it."""
_REQUIRED_FOR_BASELINE = ("canaries", "vectors", "recall")
_LOCK_TIMEOUT_S = 60.0


def monitor(kb: Collection, settings: MonitorSettings | None = None) -> MonitorReport:
    """Checks a collection and compares it with its baseline, which the first run takes.

    Raises NothingIndexed for an empty collection, InvalidInput for a baseline that cannot be read or for other
    golden queries than it has, CollectionBusy while another process monitors the collection, StorageError.
    """
    settings = settings or MonitorSettings()
    if not kb.status().chunks:
        raise NothingIndexed(
            f"{kb.internals.address} holds no text",
            expected="documents to monitor",
            hint="gnomon index PATH --into KB",
        )
    folder = kb.internals.folder / FOLDER
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=_LOCK_TIMEOUT_S):
            return _run(kb, settings)
    except Timeout as error:
        raise CollectionBusy(
            f"another process has been monitoring {kb.internals.address} for {_LOCK_TIMEOUT_S:g} s",
            expected="one run at a time",
            hint="try again when it is done",
        ) from error


@dataclass(frozen=True)
class _Measurements:
    """What the checks of a run measured: for the report, the history and maybe a new baseline."""

    checks: Mapping[str, CheckWithTests]
    maps: Mapping[str, DriftMap]
    queries: Sample | None
    documents: Sample
    golden: GoldenResult


def _run(kb: Collection, settings: MonitorSettings) -> MonitorReport:
    """Measure, decide, act, and keep the result."""
    started, at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    version, past = kb.version, load_history(kb.internals.folder)
    before = None if settings.set_baseline else Baseline.load(kb.internals.folder)
    measured = _measure(kb, settings, version, before=before, past=past)
    checks = decide([measured.checks[name] for name in ORDER], settings.false_alarms)
    checks = tuple(replace(check, hint=_for_collection(check.hint, kb)) for check in checks)
    has_switched = before is not None and before.version != version.name
    checks, alarms = attribute(checks, switched=version.name if has_switched else None)
    alarms = tuple(replace(alarm, hint=_for_collection(alarm.hint, kb)) for alarm in alarms)
    by_name = {check.name: check for check in checks}
    taken, notes = (None, ()) if before is not None else _take_baseline(kb, version, measured, checks=by_name, at=at)
    rolled_back = None
    if settings.rollback_on == "golden" and by_name["golden"].state == "alarm":
        rolled_back = _roll_back(kb, version, past)
    baseline = taken or before
    run = {"at": at, "version": version.name, "baseline": None if baseline is None else baseline.id}
    history = (*past, run | _summary(measured, by_name, rolled_back))
    save_history(kb.internals.folder, history)
    report = MonitorReport(
        collection=kb.internals.address,
        at=at,
        version=version.name,
        space=version.space.short,
        model=version.model,
        baseline=None if baseline is None else baseline.at,
        checks=checks,
        alarms=alarms,
        seconds=time.perf_counter() - started,
        false_alarms=settings.false_alarms,
        took_baseline=taken is not None,
        rolled_back=rolled_back,
        notes=notes,
        history=history,
        maps=measured.maps,
    )
    save_latest(kb.internals.folder, report)
    return report


def _measure(
    kb: Collection,
    settings: MonitorSettings,
    version: Version,
    *,
    before: Baseline | None,
    past: Sequence[Mapping[str, Any]],
) -> _Measurements:
    """All checks, each on its own sample."""
    seed = secrets.randbits(31) if settings.seed is None else settings.seed
    random = np.random.default_rng(seed)
    checks: dict[str, CheckWithTests] = {}
    checks["canaries"], encoder = check_canaries(kb)
    checks["vectors"] = check_vectors(kb, encoder, settings.checked_vectors, random=random)
    queries = query_sample(kb, settings, encoder, random=random)
    documents = document_sample(kb, version, settings.sample, random=random)
    for_recall = _recall_sample(queries, documents, settings.recall_queries, random=random)
    checks["recall"] = check_recall(kb, for_recall, None if before is None else before.recall)
    maps = {}
    for name, sample in (("queries", queries), ("documents", documents)):
        checks[name], drift_map = drift_check(name, sample, before, version=version, settings=settings, seed=seed)
        if drift_map is not None:
            maps[name] = drift_map
    golden = _check_golden(kb, settings, encoder, before=before, past=past)
    checks["golden"] = golden.check
    checks["latency"] = _time_searches(kb, settings, encoder, golden=golden, queries=queries, before=before)
    return _Measurements(checks, maps, queries, documents, golden)


def _recall_sample(queries: Sample | None, documents: Sample, count: int, *, random: np.random.Generator) -> Sample:
    """Vectors to search with: of queries if there are enough, else of documents."""
    sample = queries if queries is not None and len(queries) >= MIN_RECALL_QUERIES else documents
    at = random.choice(len(sample), min(count, len(sample)), replace=False)
    return Sample(sample.rows[at], (), sample.source)


def _time_searches(
    kb: Collection,
    settings: MonitorSettings,
    encoder: Encoder | None,
    *,
    golden: GoldenResult,
    queries: Sample | None,
    before: Baseline | None,
) -> CheckWithTests:
    """Times the same texts in each run if there are golden queries."""
    if encoder is None:
        return CheckWithTests(Check("latency", "not checked", "the model cannot be used"))
    texts: Sequence[str] = queries.labels if queries is not None else ()
    if golden.golden is not None:
        texts = list(golden.golden.queries.values())
    texts = sample_texts(texts, settings.timed_searches, np.random.default_rng(0))
    return check_latency(kb, texts, None if before is None else before.latency)


def _check_golden(
    kb: Collection,
    settings: MonitorSettings,
    encoder: Encoder | None,
    *,
    before: Baseline | None,
    past: Sequence[Mapping[str, Any]],
) -> GoldenResult:
    """Search the golden queries. Raises InvalidInput for others than those of the baseline."""
    golden, given = None if before is None else before.golden, settings.golden
    if golden is not None and given is not None:
        require_same(golden, given, settings.metric)
    if encoder is None:
        return GoldenResult(CheckWithTests(Check("golden", "not checked", "the model cannot be used")))
    if before is not None and golden is not None:
        falls = _sum_of_falls(past, before.id)
        return golden_check(golden, measure(kb, golden), documents=frozenset(kb.ids()), falls=falls)
    golden = golden_from_corpus(kb) if given is None else golden_from_judgments(given, settings.metric)
    if golden is None:
        message, hint = "too few queries can be made of these texts", "give judged queries with --golden DATA"
        return GoldenResult(CheckWithTests(Check("golden", "not enough data", message, hint=hint)))
    golden = measure(kb, golden)
    mean = float(np.mean(list(golden.values.values())))
    message = f"{golden.metric}: {mean:.3f}, {len(golden.queries)} queries, {golden.name}"
    if before is None:
        return GoldenResult(CheckWithTests(Check("golden", "baseline taken", message)), golden)
    return GoldenResult(CheckWithTests(Check("golden", "no baseline", message, hint=NEW_BASELINE_HINT)), golden)


def _sum_of_falls(past: Sequence[Mapping[str, Any]], baseline: str) -> float:
    """The golden queries' falls added up since the baseline, or since the last rollback."""
    for run in reversed(past):
        if run.get("baseline") != baseline or _has_rolled_back(run):
            return 0.0
        if run.get("golden"):
            return float(run["golden"]["sum"])
    return 0.0


def _has_rolled_back(run: Mapping[str, Any]) -> bool:
    return bool((run.get("rolled_back") or {}).get("done"))


def _take_baseline(
    kb: Collection, version: Version, measured: _Measurements, *, checks: Mapping[str, Check], at: str
) -> tuple[Baseline | None, tuple[str, ...]]:
    """Take a baseline, unless the model, the vectors or the index are damaged; with a note if so."""
    failed = [name for name in _REQUIRED_FOR_BASELINE if checks[name].state == "alarm"]
    if failed:
        return None, (f"no baseline was taken: {', '.join(failed)} must be fixed first",)
    queries = measured.queries
    baseline = Baseline(
        id=new_id(),
        at=at,
        version=version.name,
        space=version.space.fingerprint,
        queries=queries.rows if queries is not None and len(queries) else None,
        query_source="" if queries is None else queries.source,
        documents=measured.documents.rows,
        golden=measured.golden.golden,
        latency=dict(checks["latency"].figures) or None,
        recall=checks["recall"].figures.get("recall"),
    )
    baseline.save(kb.internals.folder)
    return baseline, ()


def _roll_back(kb: Collection, version: Version, past: Sequence[Mapping[str, Any]]) -> RolledBack:
    """Roll back to the former version, unless the last rollback led to the live one."""
    last = next((run["rolled_back"] for run in reversed(past) if _has_rolled_back(run)), None)
    if last is not None and last["to"] == version.name:
        message = f"gnomon monitor rolled back to {last['to']} before, and never does so twice in a row: "
        return RolledBack(False, message + "find the cause, then switch by hand")
    try:
        done = kb.rollback()
    except InvalidInput as error:
        return RolledBack(False, f"cannot roll back: {error.message}")
    return RolledBack(True, f"rolled back from {done.came_from} to {done.to}", done.came_from, done.to)


def _summary(measured: _Measurements, checks: Mapping[str, Check], rolled_back: RolledBack | None) -> dict[str, Any]:
    """What the history keeps of a run."""
    alarms = [check for check in checks.values() if check.state == "alarm"]
    return {
        "states": {name: check.state for name, check in checks.items()},
        "p": {name: p for tested in measured.checks.values() for name, p in tested.p_values.items()},
        "golden": measured.golden.kept,
        "latency": dict(checks["latency"].figures) or None,
        "recall": checks["recall"].figures.get("recall"),
        "bad_vectors": checks["vectors"].figures.get("share"),
        "causes": sorted({check.cause for check in alarms if check.cause}),
        "rolled_back": None if rolled_back is None else rolled_back.to_json(),
    }


def _for_collection(hint: str, kb: Collection) -> str:
    """The command of a hint with this collection's folder."""
    return hint.replace("COLLECTION", shlex.quote(kb.internals.address))
