"""One look at a collection."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from gnomon.collection import Collection
from gnomon.collection.catalog.connection import translated_errors
from gnomon.core.contracts import Encoder
from gnomon.core.errors import CollectionBusy, InvalidInput, NothingIndexed
from gnomon.monitor import samples
from gnomon.monitor.alarms import Finding, attributed, decided
from gnomon.monitor.baseline import FOLDER, Baseline, new_id, past_looks, remember
from gnomon.monitor.checks import canaries, latency, recall_check, vectors_check
from gnomon.monitor.drift import GoldenSeen, Ground, ask_golden, compared, went_back
from gnomon.monitor.report import Check, Map, RolledBack, WatchReport
from gnomon.monitor.samples import Sample, document_sample, drawn, query_sample
from gnomon.monitor.settings import LEAST_ASKED, WatchSettings

ORDER = ("canaries", "vectors", "recall", "queries", "documents", "golden", "latency")
"""The checks, from what the others stand on."""
_SOUND = ("canaries", "vectors", "recall")
"""What must hold for a baseline to be taken."""
_WAIT_S = 60.0


def watch(kb: Collection, settings: WatchSettings | None = None) -> WatchReport:
    """Look at a collection and compare it with its baseline; the first look takes that.

    Raises NothingIndexed for an empty collection, InvalidInput for a baseline that cannot be read or other
    golden queries than it has, CollectionBusy while another process looks, StorageError.
    """
    settings = settings or WatchSettings()
    if not kb.status().chunks:
        raise NothingIndexed(
            f"{kb.internals.folder} holds no text",
            expected="documents to watch",
            hint="gnomon index PATH --into KB",
        )
    folder = kb.internals.folder / FOLDER
    with translated_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=_WAIT_S):
            return _looked(kb, settings)
    except Timeout as error:
        raise CollectionBusy(
            f"another process has been looking at {kb.internals.folder} for {_WAIT_S:g} s",
            expected="one look at a time",
            hint="try again when it is done",
        ) from error


@dataclass(frozen=True)
class _Seen:
    """What a look gathered, to become the report, the history and maybe the baseline."""

    findings: Mapping[str, Finding]
    maps: Mapping[str, Map]
    queries: Sample | None
    documents: Sample
    golden: GoldenSeen
    last_query: int


def _looked(kb: Collection, settings: WatchSettings) -> WatchReport:
    """Look, decide, act, remember."""
    started, at = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    before = None if settings.set_baseline else Baseline.load(kb.internals.folder)
    seed = secrets.randbits(31) if settings.seed is None else settings.seed
    ground = Ground(kb, settings, kb.version, before, past_looks(kb.internals.folder), seed)
    seen = _seen(ground)
    checks = decided([seen.findings[name] for name in ORDER], settings.false_alarms)
    checks = tuple(replace(check, hint=_named(check.hint, kb)) for check in checks)
    has_moved = before is not None and before.version != ground.version.name
    checks, alarms = attributed(checks, switched=ground.version.name if has_moved else None)
    alarms = tuple(replace(alarm, hint=_named(alarm.hint, kb)) for alarm in alarms)
    by_name = {check.name: check for check in checks}
    taken, notes = (None, ()) if before is not None else _taken(ground, seen, by_name, at)
    back = _rolled_back(ground, by_name["golden"])
    known = taken or before
    look = {"at": at, "version": ground.version.name, "baseline": None if known is None else known.id}
    look |= _remembered(seen, by_name, back)
    history = (*ground.past, look)
    remember(kb.internals.folder, history)
    return WatchReport(
        collection=str(kb.internals.folder),
        at=at,
        version=ground.version.name,
        space=ground.version.space.short,
        model=ground.version.model,
        baseline=None if known is None else known.at,
        checks=checks,
        alarms=alarms,
        seconds=time.perf_counter() - started,
        false_alarms=settings.false_alarms,
        took_baseline=taken is not None,
        rolled_back=back,
        notes=notes,
        history=history,
        maps=seen.maps,
    )


def _seen(ground: Ground) -> _Seen:
    """All checks, each on its own sample."""
    kb, settings, before = ground.kb, ground.settings, ground.before
    random = np.random.default_rng(ground.seed)
    findings: dict[str, Finding] = {}
    findings["canaries"], encoder = canaries(kb)
    findings["vectors"] = vectors_check(kb, encoder, settings, random)
    with kb.internals.catalog.read() as connection:
        last_query = samples.last_query(connection, ground.version)
    # Of the cache, only what came since the baseline; queries that were given are recent as they come.
    queries = query_sample(kb, settings, encoder, 0 if before is None else before.last_query, random)
    documents = document_sample(kb, ground.version, settings.sample, random)
    asked = _asked(queries, documents, settings.asked, random)
    findings["recall"] = recall_check(kb, asked, None if before is None else before.recall)
    maps = {}
    for name, sample in (("queries", queries), ("documents", documents)):
        findings[name], drawn_map = compared(ground, name, sample)
        if drawn_map is not None:
            maps[name] = drawn_map
    golden = ask_golden(ground, encoder)
    findings["golden"] = golden.finding
    findings["latency"] = _latency(ground, encoder, golden, queries)
    return _Seen(findings, maps, queries, documents, golden, last_query)


def _asked(queries: Sample | None, documents: Sample, count: int, random: np.random.Generator) -> Sample:
    """What the index is asked: queries where there are enough, else documents."""
    sample = queries if queries is not None and len(queries) >= LEAST_ASKED else documents
    at = random.choice(len(sample), min(count, len(sample)), replace=False)
    return Sample(sample.rows[at], (), sample.source)


def _latency(ground: Ground, encoder: Encoder | None, golden: GoldenSeen, queries: Sample | None) -> Finding:
    """The same texts each time where there are golden queries."""
    if encoder is None:
        return Finding(Check("latency", "not looked at", "the model cannot be used"))
    texts: Sequence[str] = queries.labels if queries is not None else ()
    if golden.golden is not None:
        texts = list(golden.golden.queries.values())
    texts = drawn(texts, ground.settings.timed, np.random.default_rng(0))
    return latency(ground.kb, texts, None if ground.before is None else ground.before.latency)


def _taken(
    ground: Ground, seen: _Seen, checks: Mapping[str, Check], at: str
) -> tuple[Baseline | None, tuple[str, ...]]:
    """Take a baseline, unless the collection is not sound."""
    ill = [name for name in _SOUND if checks[name].state == "alarm"]
    if ill:
        return None, (f"no baseline was taken: {', '.join(ill)} must be put right first",)
    queries = seen.queries
    taken = Baseline(
        id=new_id(),
        at=at,
        version=ground.version.name,
        space=ground.version.space.fingerprint,
        queries=queries.rows if queries is not None and len(queries) else None,
        query_source="" if queries is None else queries.source,
        last_query=seen.last_query,
        documents=seen.documents.rows,
        golden=seen.golden.golden,
        latency=dict(checks["latency"].figures) or None,
        recall=checks["recall"].figures.get("recall"),
    )
    taken.save(ground.kb.internals.folder)
    return taken, ()


def _rolled_back(ground: Ground, golden: Check) -> RolledBack | None:
    """Go back to the former version, where that is wanted and was not done just before."""
    if ground.settings.rollback_on != "golden" or golden.state != "alarm":
        return None
    last = next((look["rolled_back"] for look in reversed(ground.past) if went_back(look)), None)
    if last is not None and last["to"] == ground.version.name:
        said = f"watch went back to {last['to']} before, and never goes back twice in a row: "
        return RolledBack(False, said + "look for the cause, then switch by hand")
    try:
        done = ground.kb.rollback()
    except InvalidInput as error:
        return RolledBack(False, f"cannot go back: {error.message}")
    return RolledBack(True, f"went back from {done.came_from} to {done.to}", done.came_from, done.to)


def _remembered(seen: _Seen, checks: Mapping[str, Check], back: RolledBack | None) -> dict[str, Any]:
    """What the history keeps of a look."""
    alarms = [check for check in checks.values() if check.state == "alarm"]
    return {
        "states": {name: check.state for name, check in checks.items()},
        "p": {name: p for finding in seen.findings.values() for name, p in finding.tests.items()},
        "golden": seen.golden.kept,
        "latency": dict(checks["latency"].figures) or None,
        "recall": checks["recall"].figures.get("recall"),
        "bad_vectors": checks["vectors"].figures.get("share"),
        "causes": sorted({check.cause for check in alarms if check.cause}),
        "rolled_back": None if back is None else back.to_json(),
    }


def _named(step: str, kb: Collection) -> str:
    """What to type, for this collection."""
    return step.replace("COLLECTION", str(kb.internals.folder))
