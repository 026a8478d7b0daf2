"""A chosen candidate as a version: built beside the live one, checked for breakage, and maybe switched to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gnomon.adapt.candidates import Candidate
from gnomon.adapt.settings import AdaptReport
from gnomon.collection.collection import Collection
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.migrate.change import Change
from gnomon.migrate.migration import MigrateSettings, run_migration
from gnomon.migrate.report import read_gate_report
from gnomon.migrate.state import Migration


def change_of(candidate: Candidate) -> Change:
    """A candidate as what a migration changes."""
    changes: dict[str, Any] = dict(candidate.changes)
    model, dim = changes.pop("model", None), changes.pop("dim", None)
    return Change(to=model, dim=dim, retrieval=changes or None)


def offer(
    kb: Collection,
    candidate: Candidate,
    report: AdaptReport,
    *,
    switch: bool,
    progress: ProgressCallback,
) -> AdaptReport:
    """Build the candidate as a version through the gate, which checks it for breakage.

    That it is better was shown on queries that had no part in learning it; the gate asks those queries nothing more,
    since it would judge by what the candidate was chosen by. Raises as `run_migration`.
    """

    def show_state(state: Migration) -> None:
        progress(Progress("building the version", state.texts_done, state.texts, "passage"))

    built = run_migration(
        kb, change_of(candidate), MigrateSettings(switch_if="never", cpu_share=1.0), on_state=show_state
    )
    if built.outcome != "ready" or built.version is None:
        why = f"Declined: {candidate.name} was shown to be better, but the version is not usable: {built.why}"
        return replace(report, outcome="declined", why=why)
    report = replace(report, outcome="ready", version=built.version, **_costs(kb, built.version))
    if switch:
        kb.versions.switch(built.version, why="adapt")
        report = replace(report, outcome="switched")
    return report


def _costs(kb: Collection, version: str) -> dict[str, Any]:
    """Milliseconds a search and bytes, of the live version and of the new one, as the gate measured them."""
    saved = read_gate_report(kb.internals.folder, version)
    if saved is None:
        return {}
    latency, size = saved.json["latency"], saved.json["size"]
    both = [1000 * each["p50_s"] for each in latency]
    timed = {"latency_ms": tuple(both)} if len(both) == 2 and all(each["n"] for each in latency) else {}
    return {**timed, "bytes": tuple(each["total"] for each in size)}
