"""A migration: checked, built beside what serves, judged, switched to. It can be cut off anywhere."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from gnomon.collection.catalog.versions import NotReady, timestamp
from gnomon.collection.collection import Collection
from gnomon.collection.ingest.backfill import BackfillOptions, BackfillProgress
from gnomon.collection.ingest.writer import EmbeddingCounts
from gnomon.collection.reports import VersionInfo
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.migrate.adapter.retriever import embed_in_order
from gnomon.migrate.change import Aim, Change, aimed, ready_twin
from gnomon.migrate.cost import bytes_of
from gnomon.migrate.gate import Asking, Gated, SwitchIf, gate
from gnomon.migrate.judgments import GateSettings, judgments
from gnomon.migrate.prefill import Built, Meanwhile
from gnomon.migrate.query_log import Asked, asked_of
from gnomon.migrate.report import write_gate
from gnomon.migrate.state import Migration, Outcome, Record, error_json, sole
from gnomon.migrate.throttle import SLICE_TEXTS, share_of
from gnomon.migrate.workload import work_of

_TRIES = 20
"""How often building goes on where writers came in between, before a version counts as ready."""


@dataclass(frozen=True)
class MigrateSettings:
    """How a migration goes: its gate, the verdict that it switches by, its share of the processor, and what
    it does besides while it builds.

    `without_proof` lets it switch where there are no judged queries and nothing seems broken. `nice` is how
    far a process of its own stands back for others (POSIX: 0 to 19).
    """

    gate: GateSettings = field(default_factory=GateSettings)
    switch_if: SwitchIf = "not-worse"
    without_proof: bool = False
    cpu_share: float = 0.5
    nice: int = 10
    meanwhile: Meanwhile = field(default_factory=Meanwhile)

    def __post_init__(self) -> None:
        share_of(self.cpu_share)
        if self.switch_if not in get_args(SwitchIf):
            raise InvalidInput(f"switch_if {self.switch_if!r}", expected=f"one of {', '.join(get_args(SwitchIf))}")
        if self.without_proof and self.gate.queries is not None:
            raise InvalidInput(
                "--without-proof with --queries",
                expected="one of them: judged queries are the proof",
                hint="leave --without-proof out; gnomon switch takes a version in spite of its gate",
            )

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> MigrateSettings:
        """The settings that `to_json` wrote."""
        parts = {"gate": GateSettings(**plain["gate"]), "meanwhile": Meanwhile(**plain["meanwhile"])}
        return cls(**{**plain, **parts})


@dataclass(frozen=True)
class Watching:
    """Who hears how it stands and of steps that take a while, and an encoder that stands for loading one."""

    told: Callable[[Migration], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    encoder: Encoder | None = None
    run: str = ""


class _Stopped(Exception):
    """Somebody asked it to end."""


def migrate(
    kb: Collection,
    to: str | Path | Encoder | None = None,
    *,
    chunk_tokens: int | None = None,
    retrieval: Mapping[str, Any] | None = None,
    settings: MigrateSettings | None = None,
    told: Callable[[Migration], None] | None = None,
) -> Migration:
    """Build a version in this process, judge it, and switch to it where it may be; searches go on meanwhile.

    What was begun before and not ended is gone on with. `to` and `retrieval` are as in `plan`; `told` hears
    how it stands. Raises InvalidInput for what cannot be, before anything is built; StorageError for too
    little disk, CollectionBusy while another migration runs.
    """
    given = None if to is None or isinstance(to, str | Path) else to
    name = str(to) if isinstance(to, str | Path) else None if given is None else given.space.name
    change = Change(name, chunk_tokens, retrieval)
    return run_migration(kb, change, settings or MigrateSettings(), Watching(told or _silent, encoder=given))


def run_migration(
    kb: Collection, change: Change, settings: MigrateSettings, watching: Watching | None = None
) -> Migration:
    """The same, of values: what another process runs too."""
    watching = watching or Watching()
    folder = Path(kb.status().path)
    first = Migration(
        collection=str(folder),
        run=watching.run or uuid.uuid4().hex,
        change=asdict(change),
        settings=settings.to_json(),
        pid=os.getpid(),
        started=timestamp(),
        running=True,
    )
    with sole(folder, first) as record:
        try:
            return _Run(kb, change, settings, record, watching).go()
        except _Stopped:
            return record.set(outcome="stopped", why="it was stopped; the same command goes on", running=False)
        except KeyboardInterrupt:
            record.set(outcome="stopped", why="it was interrupted; the same command goes on", running=False)
            raise
        except GnomonError as error:
            record.set(outcome="failed", why=error.message, error=error_json(error), running=False)
            raise
        except Exception as error:
            kept = {"kind": "GnomonError", "message": repr(error), "expected": "no defect", "hint": "see the log"}
            record.set(outcome="failed", why=repr(error), error=kept, running=False)
            raise


class _Run:
    """One run of a migration, step by step."""

    def __init__(
        self, kb: Collection, change: Change, settings: MigrateSettings, record: Record, watching: Watching
    ) -> None:
        self._kb, self._change, self._settings = kb, change, settings
        self._record, self._watching, self._share = record, watching, share_of(settings.cpu_share)
        self._started, self._before = 0.0, record.now

    def go(self) -> Migration:
        """All steps. Raises _Stopped between two of them, and what any of them raises."""
        self._tell()
        judged = judgments(self._kb, self._settings.gate)  # before anything that takes long
        asked = asked_of(self._settings.meanwhile.asked, judged)
        aim = aimed(
            self._kb,
            self._change,
            encoder=self._watching.encoder,
            threads=self._share.threads,
            say=self._watching.say,
        )
        same_passages = aim.chunking is None
        self._settings.meanwhile.require_fits(same_passages=same_passages, new_space=aim.is_new_space)
        self._tell(live=aim.live.name, model=aim.encoder.space.short)
        info = self._begun(aim)
        self._tell(version=info.name, stage="building", behind=info.behind)
        self._build(info, aim, asked)
        self._tell(stage="judging")
        gated = gate(self._kb, info.name, self._settings.gate, Asking(self._asked))
        report = write_gate(gated, Path(self._record.now.collection) / "reports" / info.name)
        self._tell(gate=gated.outcome, report=str(report))
        return self._decided(gated)

    def _begun(self, aim: Aim) -> VersionInfo:
        """The version, made or found again, once it is sure that it can be built."""
        twin = ready_twin(self._kb, aim)
        work = work_of(self._kb.internals.catalog, aim)
        self._tell(documents=work.documents, texts=work.texts, tokens=work.tokens)
        if twin is not None:
            return twin
        folder, status = Path(self._record.now.collection), self._kb.status()
        bytes_of(folder, status, work, aim).require(folder)
        return self._kb.versions.add(aim.encoder, model=aim.model, chunking=aim.chunking, retrieval=aim.retrieval)

    def _build(self, info: VersionInfo, aim: Aim, asked: Asked) -> None:
        """Embed what comes first, catch up until nothing is lacking, and put the indexes on disk."""
        self._started, name = time.perf_counter(), info.name
        built = Built(self._kb, name, aim.encoder, self._settings.meanwhile, asked)
        if info.state == "building":
            built.embed_ahead(lambda ids: self._ahead(name, ids), self._tell)
        options = BackfillOptions(
            progress=self._built,
            should_stop=self._record.is_to_stop,
            pace=lambda busy_s: self._share.pace(busy_s, self._record.is_to_stop),
            slice_texts=SLICE_TEXTS,
        )
        versions = self._kb.versions
        for tries in range(_TRIES):
            self._before = self._record.now
            if versions.backfill(name, options).stopped:
                raise _Stopped
            self._tell(stage="indexing", behind=0)
            try:
                versions.mark_ready(name)
                versions.build_indexes(name)
                break
            except NotReady:
                if tries == _TRIES - 1:
                    raise
                self._tell(stage="building")
        built.clear()
        self._tell(seconds=time.perf_counter() - self._started)

    def _ahead(self, name: str, ids: Array) -> None:
        """Embed passages before their turn, as slowly as all the rest, and be stopped as soon."""
        self._before, done, started = self._record.now, EmbeddingCounts(), time.perf_counter()
        for part in embed_in_order(self._kb, name, ids, slice_texts=SLICE_TEXTS):
            done += part
            self._built(BackfillProgress(embedding=done, behind=self._before.behind))
            self._share.pace(time.perf_counter() - started, self._record.is_to_stop)
            if self._record.is_to_stop():
                raise _Stopped
            started = time.perf_counter()

    def _built(self, caught: BackfillProgress) -> None:
        self._record.tell(
            behind=caught.behind,
            texts_done=self._before.texts_done + caught.embedding.embedded,
            tokens_done=self._before.tokens_done + caught.embedding.tokens,
            seconds=time.perf_counter() - self._started,
        )
        self._watching.told(self._record.now)

    def _decided(self, gated: Gated) -> Migration:
        settings, name = self._settings, gated.version
        if not gated.allows(settings.switch_if, without_proof=settings.without_proof):
            outcome, why = _kept_back(gated, settings)
            return self._tell(outcome=outcome, why=why, stage="over", running=False)
        self._tell(stage="switching")
        try:
            switched = self._kb.versions.switch(name, why="migrate")
        except NotReady as error:
            why = f"{name} is built and passed, and was not switched to: {error.message}. gnomon switch does it"
            return self._tell(outcome="ready", why=why, stage="over", running=False)
        return self._tell(
            outcome="switched",
            why=f"{name} serves in place of {switched.came_from}. {gated.explained}",
            stage="over",
            switch_seconds=switched.seconds,
            running=False,
        )

    def _asked(self, done: int, of: int) -> None:
        self._record.tell(asked=done, asked_of=of)
        self._watching.told(self._record.now)
        if self._record.is_to_stop():
            raise _Stopped

    def _tell(self, **known: Any) -> Migration:
        """Take note of a step, unless it is to end here."""
        found = self._record.set(**known)
        self._watching.told(found)
        if found.outcome is None and self._record.is_to_stop():
            raise _Stopped
        return found


def _kept_back(gated: Gated, settings: MigrateSettings) -> tuple[Outcome, str]:
    """Why it is not switched to, and whether that was asked for."""
    if settings.switch_if == "never" and gated.outcome != "broken":
        return "ready", f"{gated.version} is ready; no switch was asked for. {gated.explained}"
    if gated.outcome == "unproven":
        way = "give judged queries with --queries, or say --without-proof"
        return "refused", f"{gated.version} is built and not switched to: {way}. {gated.explained}"
    wanted = "a candidate that is not broken"
    if gated.verdict is not None:
        wanted = "better" if settings.switch_if == "better" else "not worse, or better"
    return "refused", f"{gated.version} is built and not switched to, wanted: {wanted}. {gated.explained}"


def _silent(_: Migration) -> None:
    return None
