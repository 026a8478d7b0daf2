"""A migration: check, build beside the live version, judge, switch. It can be interrupted anywhere and resumed."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from gnomon.collection.catalog.versions import NotReady, timestamp
from gnomon.collection.collection import Collection
from gnomon.collection.ingest.backfill import BackfillOptions, BackfillProgress
from gnomon.collection.ingest.writer import EmbeddingCounts, EmbedOptions
from gnomon.collection.reports import VersionInfo
from gnomon.core.budget import Budget
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.renamed import renamed_argument, renamed_fields
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.usage import MeteredEncoder
from gnomon.migrate.adapter.retriever import embed_in_order
from gnomon.migrate.change import Change, ResolvedChange, find_ready_version, resolve_change
from gnomon.migrate.cost import count_workloads, estimate_disk
from gnomon.migrate.gate import GateReport, SwitchIf, gate
from gnomon.migrate.interleaving import (
    InterleaveSettings,
    begin_interleaving,
    require_feedback,
    require_none_active,
)
from gnomon.migrate.judgments import GateSettings, load_judgments
from gnomon.migrate.prefill import Prefill, PrefillRun
from gnomon.migrate.query_log import QueryLog, load_query_log
from gnomon.migrate.report import write_report
from gnomon.migrate.state import (
    Migration,
    Outcome,
    StateFile,
    error_to_plain,
    exclusive_run,
    upgraded_settings,
)
from gnomon.migrate.throttle import SLICE_TEXTS, throttle_for

_OTHER_MACHINES_S = 2.0
"""How long a migration waits for one of another machine, which goes on for hours."""
_MAX_TRIES = 20
"""How often a build catches up with writers before it gives up."""


@renamed_fields(meanwhile="prefill")
@dataclass(frozen=True)
class MigrateSettings:
    """How a migration goes: its gate, the outcome needed for the switch, its share of the processor, its prefill.

    `without_proof` allows the switch without judged queries, if nothing seems broken. `nice` lowers the priority
    of a build in a process of its own (POSIX: 0 to 19). `max_cost` is what this run may spend on the new model's
    server, in USD: one that would cost more is not begun. With `interleave` the version is not switched to at once:
    servers show its results and the live one's in one list, and the clicks decide.
    """

    gate: GateSettings = field(default_factory=GateSettings)
    switch_if: SwitchIf = "not-worse"
    without_proof: bool = False
    cpu_share: float = 0.5
    nice: int = 10
    prefill: Prefill = field(default_factory=Prefill)
    max_cost: float | None = None
    interleave: InterleaveSettings | None = None

    def __post_init__(self) -> None:
        throttle_for(self.cpu_share)
        Budget(self.max_cost)
        if self.switch_if not in get_args(SwitchIf):
            raise InvalidInput(f"switch_if {self.switch_if!r}", expected=f"one of {', '.join(get_args(SwitchIf))}")
        if self.without_proof and self.gate.queries is not None:
            raise InvalidInput(
                "--without-proof with --queries",
                expected="one of them: judged queries are the proof",
                hint="leave --without-proof out; gnomon switch switches in spite of the gate",
            )
        if self.interleave is not None and self.switch_if == "never":
            raise InvalidInput("--switch-if never with --interleave", expected="one of them", hint="leave one out")

    def with_absolute_paths(self) -> MigrateSettings:
        """The same for a process with another working folder."""
        log = self.prefill.query_log
        prefill = replace(self.prefill, query_log=log and str(Path(log).expanduser().resolve()))
        return replace(self, gate=self.gate.with_absolute_paths(), prefill=prefill)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON, read back by `from_json`."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> MigrateSettings:
        """The settings that `to_json` wrote, also in gnomon 0.1."""
        return from_plain(cls, upgraded_settings(plain))


class _Stopped(Exception):
    """The migration was asked to stop."""


@renamed_argument("told", "on_state")
def migrate(
    kb: Collection,
    to: str | Path | Encoder | Change | None = None,
    *,
    chunk_tokens: int | None = None,
    retrieval: Mapping[str, Any] | None = None,
    settings: MigrateSettings | None = None,
    on_state: Callable[[Migration], None] = lambda _: None,
) -> Migration:
    """Build a version in this process, judge it, and switch to it if it passes; searches go on all the time.

    Resumes an unfinished migration. `to` and `retrieval` are as in `plan`; `on_state` is called with the state.
    Raises InvalidInput for an impossible change, before anything is built; StorageError for too little disk,
    CollectionBusy while another migration is running.
    """
    change, encoder = Change.of(to, chunk_tokens, retrieval)
    return run_migration(kb, change, settings or MigrateSettings(), encoder=encoder, on_state=on_state)


def run_migration(
    kb: Collection,
    change: Change,
    settings: MigrateSettings,
    *,
    encoder: Encoder | None = None,
    run_id: str | None = None,
    on_state: Callable[[Migration], None] = lambda _: None,
    progress: ProgressCallback = no_progress,
) -> Migration:
    """As `migrate`, with the change as a value. `encoder` replaces loading one; `progress` receives messages."""
    folder = kb.internals.folder
    first = Migration(
        collection=kb.internals.address,
        run=run_id or uuid.uuid4().hex,
        change=to_plain(change),
        settings=settings.to_json(),
        pid=os.getpid(),
        started=timestamp(),
        running=True,
    )
    with exclusive_run(folder, first) as state:
        try:
            with kb.internals.catalog.exclusive("migration", wait_s=_OTHER_MACHINES_S, owner="migration"):
                return _Run(kb, settings, state, on_state=on_state).run(change, encoder, progress)
        except _Stopped:
            return state.update(outcome="stopped", why="it was stopped; the same command resumes it", running=False)
        except KeyboardInterrupt:
            state.update(outcome="stopped", why="it was interrupted; the same command resumes it", running=False)
            raise
        except GnomonError as error:
            state.update(outcome="failed", why=error.message, error=error_to_plain(error), running=False)
            raise
        except Exception as error:
            plain = {"kind": "GnomonError", "message": repr(error), "expected": "no defect", "hint": "see the log"}
            state.update(outcome="failed", why=repr(error), error=plain, running=False)
            raise


class _Run:
    """One run of a migration, step by step. Steps raise _Stopped when the run should stop."""

    def __init__(
        self, kb: Collection, settings: MigrateSettings, state: StateFile, *, on_state: Callable[[Migration], None]
    ) -> None:
        self._kb, self._settings, self._state, self._on_state = kb, settings, state, on_state
        self._throttle, self._budget = throttle_for(settings.cpu_share), Budget(settings.max_cost)
        self._started, self._before, self._by_server = 0.0, state.current, False

    def run(self, change: Change, encoder: Encoder | None, progress: ProgressCallback) -> Migration:
        """All steps. Raises what any of them raises."""
        self._update()
        judged = load_judgments(self._kb, self._settings.gate)  # fails before anything that takes long
        query_log = load_query_log(self._settings.prefill.query_log, judged)
        if self._settings.interleave is not None:
            require_none_active(self._kb)
            require_feedback(self._kb)
        resolved = resolve_change(self._kb, change, encoder=encoder, threads=self._throttle.threads, progress=progress)
        same_passages = resolved.chunking is None
        self._settings.prefill.require_possible(same_passages=same_passages, new_space=resolved.is_new_space)
        self._update(live=resolved.live.name, model=resolved.encoder.space.short)
        version = self._create_version(resolved)
        self._update(version=version.name, stage="building", behind=version.behind)
        self._build(version, resolved.encoder, query_log)
        self._update(stage="judging")
        report = gate(self._kb, version.name, self._settings.gate, progress=self._update_judging)
        path = write_report(report, self._kb.internals.folder / "reports" / version.name)
        self._update(gate=report.outcome, report=str(path))
        return self._switch(report)

    def _create_version(self, change: ResolvedChange) -> VersionInfo:
        """The version, created or found again, once it is certain that it can be built."""
        ready = find_ready_version(self._kb, change)
        workload, *further = count_workloads(self._kb.internals.catalog, change)
        every = [workload, *further]
        texts, tokens = sum(each.texts for each in every), sum(each.tokens for each in every)
        self._update(documents=workload.documents, texts=texts, tokens=tokens)
        costs = [each.server.cost for each in every if each.server is not None]
        if costs:
            self._update(cost=None if None in costs else sum(cost or 0.0 for cost in costs))
            for each, model in zip(every, (change.model, *(one.space.name for one in change.further)), strict=True):
                self._budget.require(each, model)
        if ready is not None:
            return ready
        folder, status = self._kb.internals.folder, self._kb.status()
        estimate_disk(folder, status, workload, change=change, further=further).require(folder)
        return self._kb.versions.add(
            change.encoder, model=change.model, chunking=change.chunking, retrieval=change.retrieval
        )

    def _build(self, version: VersionInfo, encoder: Encoder, query_log: QueryLog) -> None:
        """Prefill, catch up with all documents, and write the indexes."""
        self._started, name = time.perf_counter(), version.name
        self._by_server = isinstance(encoder, MeteredEncoder)
        prefill = PrefillRun(self._kb, name, encoder, self._settings.prefill, query_log)
        if version.state == "building":
            prefill.run(lambda ids: self._embed(name, ids), self._update)
        options = BackfillOptions(
            progress=self._update_building,
            should_stop=self._state.should_stop,
            pace=self._pause,
            slice_texts=SLICE_TEXTS,
            budget=self._budget,
        )
        versions = self._kb.versions
        for tries in range(_MAX_TRIES):
            self._before = self._state.current
            if versions.backfill(name, options).stopped:
                raise _Stopped
            self._update(stage="indexing", behind=0)
            try:
                versions.mark_ready(name)
                versions.build_indexes(name)
                break
            except NotReady:
                if tries == _MAX_TRIES - 1:
                    raise
                self._update(stage="building")
        prefill.clear()
        self._update(seconds=time.perf_counter() - self._started)

    def _embed(self, name: str, ids: Array) -> None:
        """Embed passages in this order, throttled and stoppable like the rest of the build."""
        self._before, done, started = self._state.current, EmbeddingCounts(), time.perf_counter()
        options = EmbedOptions(SLICE_TEXTS, self._budget, self._state.should_stop)
        for part in embed_in_order(self._kb, name, ids, options=options):
            done += part
            self._update_building(BackfillProgress(embedding=done, behind=self._before.behind).event)
            self._pause(time.perf_counter() - started)
            if self._state.should_stop():
                break
            started = time.perf_counter()
        if self._state.should_stop():
            raise _Stopped

    def _pause(self, busy_s: float) -> None:
        """Leave the processor to others for a while; a server's work is not done by this one's."""
        if not self._by_server:
            self._throttle.pause(busy_s, self._state.should_stop)

    def _switch(self, report: GateReport) -> Migration:
        """Switch to the version if the gate's report allows it, or let clicks decide whether to."""
        settings, name = self._settings, report.version
        if settings.interleave is not None and report.outcome not in ("worse", "broken"):
            begin_interleaving(self._kb, name, settings.interleave)
            both = f"results of {report.baseline} and {name} in one list"
            why = (
                f"{settings.interleave.share:.0%} of the searches show {both}, until clicks decide. {report.explained}"
            )
            return self._update(outcome="interleaving", why=why, stage="over", running=False)
        if not report.allows(settings.switch_if, without_proof=settings.without_proof):
            outcome, why = _why_not_switched(report, settings)
            return self._update(outcome=outcome, why=why, stage="over", running=False)
        self._update(stage="switching")
        try:
            switched = self._kb.versions.switch(name, why="migrate")
        except NotReady as error:
            why = f"{name} is built and passed, but was not switched to: {error.message}. Run gnomon switch"
            return self._update(outcome="ready", why=why, stage="over", running=False)
        return self._update(
            outcome="switched",
            why=f"{name} is live in place of {switched.came_from}. {report.explained}",
            stage="over",
            switch_seconds=switched.seconds,
            running=False,
        )

    def _update(self, **changes: Any) -> Migration:
        """Record a step, unless the run should stop here."""
        current = self._state.update(**changes)
        self._on_state(current)
        if current.outcome is None and self._state.should_stop():
            raise _Stopped
        return current

    def _update_building(self, event: Progress) -> None:
        current = self._state.update_counts(
            behind=(event.total or 0) - event.done,
            texts_done=self._before.texts_done + int(event.metrics["texts"]),
            tokens_done=self._before.tokens_done + int(event.metrics["tokens"]),
            cost_done=self._budget.spent.cost,
            seconds=time.perf_counter() - self._started,
        )
        self._on_state(current)

    def _update_judging(self, event: Progress) -> None:
        self._on_state(self._state.update_counts(queries_done=event.done, queries=event.total or 0))
        if self._state.should_stop():
            raise _Stopped


def _why_not_switched(report: GateReport, settings: MigrateSettings) -> tuple[Outcome, str]:
    if settings.switch_if == "never" and report.outcome != "broken":
        return "ready", f"{report.version} is ready; no switch was requested. {report.explained}"
    if report.outcome == "unproven":
        hint = "give judged queries with --queries, or --without-proof"
        return "refused", f"{report.version} is built but not switched to: {hint}. {report.explained}"
    expected = "a candidate that is not broken"
    if report.verdict is not None:
        expected = "better" if settings.switch_if == "better" else "not worse, or better"
    return "refused", f"{report.version} is built but not switched to, expected: {expected}. {report.explained}"
