"""The state of a migration: one JSON file, replaced atomically, and a lock held by the process that builds.

A state file of an unfinished migration whose lock nobody holds was left by a process that was killed.
"""

from __future__ import annotations

import json
import shlex
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from gnomon.collection.address import PostgresAddress, collection_address
from gnomon.collection.catalog.connection import is_catalog, local_folder_of
from gnomon.collection.catalog.versions import NotReady, timestamp
from gnomon.core import errors
from gnomon.core.errors import CollectionBusy, CollectionNotFound, GnomonError, InvalidInput
from gnomon.core.files import exists, is_file, storage_errors, write_atomic
from gnomon.core.renamed import renamed_fields
from gnomon.core.serialize import from_plain, to_plain

FOLDER, STATE, LOG, LOCK, STOP = "migration", "state.json", "log.txt", "lock", "stop"
Stage = Literal["checking", "fitting", "building", "indexing", "judging", "switching", "over"]
Outcome = Literal["switched", "interleaving", "ready", "refused", "stopped", "failed", "killed"]
_SUM = "checksum"
_TAIL_BYTES = 64_000
_LOCK_S = 2.0  # `is_running` takes the lock for a moment
_WRITE_EVERY_S = 0.3
_RENAMED = {"bridge": "adapter", "asked": "queries_done", "asked_of": "queries"}
_RENAMED_SETTINGS = {"bridge": "adapter", "asked": "query_log", "least": "min_recall", "least_pairs": "min_pairs"}
_RENAMED_REPORT = {"least": "min_recall", "wanted": "expected"}


@renamed_fields(**_RENAMED)
@dataclass(frozen=True)
class Migration:
    """The state of a migration. `stage` "fitting" is of the embedding adapter, "judging" is the gate.

    `outcome` is None while it is running; then switched, interleaving (clicks decide: `interleaving_status`), ready
    (built; no switch was wanted), refused (by the gate, or for lack of judged queries), stopped, failed or killed;
    `why` explains it and `error` has what was raised. This run embeds `texts` of `tokens`, of which `texts_done` and
    `tokens_done` are embedded; a server charges about `cost` USD for them (None: not known), and so far `cost_done`.
    `behind` documents are not in the version yet. `seconds` counts from the first text of this run. The gate searches
    `queries`. `adapter` says whether an embedding adapter serves, and its quality or why it was refused; `order`
    describes what is embedded first.
    """

    collection: str
    run: str = ""
    live: str = ""
    version: str | None = None
    model: str | None = None
    change: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    stage: Stage = "checking"
    outcome: Outcome | None = None
    why: str = ""
    pid: int = 0
    started: str = ""
    updated: str = ""
    documents: int = 0
    behind: int = 0
    texts: int = 0
    texts_done: int = 0
    tokens: int = 0
    tokens_done: int = 0
    cost: float | None = None
    cost_done: float = 0.0
    seconds: float = 0.0
    queries_done: int = 0
    queries: int = 0
    gate: str | None = None
    report: str | None = None
    switch_seconds: float | None = None
    error: dict[str, str] | None = None
    adapter: dict[str, Any] | None = None
    order: str = ""
    log: str | None = None
    running: bool = False

    @property
    def rate(self) -> float:
        """Tokens per second, pauses included."""
        return self.tokens_done / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until all texts are embedded, at the rate so far; None before there is a rate."""
        if not self.tokens_done or not self.seconds:
            return None
        return max(0, self.tokens - self.tokens_done) / self.rate

    @property
    def share(self) -> float:
        """The part of the tokens that is embedded, from 0 to 1."""
        return min(1.0, self.tokens_done / self.tokens) if self.tokens else 1.0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        return {**to_plain(self), "rate": self.rate, "left_s": self.left_s}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Migration:
        """The state that `to_json` wrote, also in gnomon 0.1; keys of later releases are ignored."""
        return from_plain(cls, _upgraded(plain), ignore_unknown=True)


def upgraded_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """A migration's settings with today's keys, where gnomon 0.1 wrote them."""
    if "meanwhile" not in settings:
        return dict(settings)
    rest = {key: value for key, value in settings.items() if key != "meanwhile"}
    return {**rest, "prefill": _with_keys(settings["meanwhile"], _RENAMED_SETTINGS)}


def _upgraded(plain: Mapping[str, Any]) -> dict[str, Any]:
    """A state with today's keys, where gnomon 0.1 wrote it."""
    state = _with_keys(plain, _RENAMED)
    state["settings"] = upgraded_settings(state.get("settings", {}))
    if state.get("adapter") is not None:
        state["adapter"] = _with_keys(state["adapter"], _RENAMED_REPORT)
    if state.get("stage") == "bridging":
        state["stage"] = "fitting"
    return state


def _with_keys(plain: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    return {renamed.get(key, key): value for key, value in plain.items()}


class StateFile:
    """The state file of the running migration; `current` is its content. Made by `exclusive_run`."""

    def __init__(self, folder: Path, first: Migration) -> None:
        self._file = folder / FOLDER / STATE
        self._stop = folder / FOLDER / STOP
        self._written = 0.0
        self.current = first
        self.update()

    def update(self, **changes: Any) -> Migration:
        """Change the state and write it."""
        self.current = replace(self.current, **changes, updated=timestamp())
        self._written = time.monotonic()
        with storage_errors(self._file):
            plain = self.current.to_json()
            write_atomic(self._file, json.dumps({**plain, _SUM: _sum(plain)}, indent=1, ensure_ascii=False))
        return self.current

    def update_counts(self, **changes: Any) -> Migration:
        """Change the state, and write it only if the last write is a while ago."""
        self.current = replace(self.current, **changes)
        if time.monotonic() - self._written >= _WRITE_EVERY_S:
            self.update()
        return self.current

    def should_stop(self) -> bool:
        """Whether `stop` was called for this collection."""
        return exists(self._stop)


@contextmanager
def exclusive_run(folder: Path, first: Migration) -> Iterator[StateFile]:
    """Hold the lock of a collection's only migration. Raises CollectionBusy, which names the running one."""
    with storage_errors(folder):
        (folder / FOLDER).mkdir(exist_ok=True)
        lock = FileLock(folder / FOLDER / LOCK)
        try:
            lock.acquire(timeout=_LOCK_S, poll_interval=0.05)
        except Timeout as error:
            raise busy_error(folder) from error
    try:
        with storage_errors(folder):
            (folder / FOLDER / STOP).unlink(missing_ok=True)
        yield StateFile(folder, first)
    finally:
        lock.release()


def status(folder: str | Path | PostgresAddress) -> Migration | None:
    """The state of a collection's running or last migration; None if there was none."""
    place = migration_folder(folder)
    running, found = is_running(place), _read(place)
    if found is not None and found.outcome is None and not running:
        running, found = is_running(place), _read(place)  # it may have started or ended between the two reads
    if found is None and is_file(place / FOLDER / STATE):
        why = "its state file is damaged; the same command goes on with what is built"
        return Migration(str(folder), outcome="failed", why=why, running=running)
    if found is None:
        return None
    if running or found.outcome is not None:
        return replace(found, running=running and found.outcome is None)
    why = f"process {found.pid} ended without a result; the same command resumes the migration"
    return replace(found, outcome="killed", why=why, running=False)


def is_running(folder: Path) -> bool:
    """Whether a migration of the collection is running."""
    if not exists(folder / FOLDER / LOCK):
        return False
    lock = FileLock(folder / FOLDER / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def request_stop(folder: str | Path | PostgresAddress) -> None:
    """Ask a running migration to stop, and do not wait for its end. Raises InvalidInput if none is running."""
    place = migration_folder(folder)
    if not is_running(place):
        raise InvalidInput(
            f"no migration of {collection_address(folder)} is running",
            expected="a running migration",
            hint=f"gnomon migrate {shlex.quote(str(collection_address(folder)))} --status shows how the last one ended",
        )
    (place / FOLDER / STOP).touch()


def stop(folder: str | Path | PostgresAddress, *, wait_s: float = 120.0) -> Migration:
    """Stop a running migration and wait for its end; what is embedded stays.

    Raises InvalidInput if none is running, CollectionBusy if it does not end within `wait_s` seconds.
    """
    place = migration_folder(folder)
    request_stop(place)
    end = time.monotonic() + wait_s
    while is_running(place):
        if time.monotonic() > end:
            raise CollectionBusy(
                f"the migration of {place} has not stopped after {wait_s:g} s",
                expected="its end after the current slice of texts",
                hint="wait, then check with --status",
            )
        time.sleep(0.1)
    found = status(place)
    if found is None:
        raise InvalidInput(f"{place} has no migration any more", expected="its state file", hint="start it again")
    return found


def log_tail(folder: str | Path | PostgresAddress, lines: int = 20) -> tuple[str, ...]:
    """The last lines of the log of a collection's background migrations; none before the first."""
    log = migration_folder(folder) / FOLDER / LOG
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ()
    return tuple(text.strip().splitlines()[-lines:]) if lines > 0 else ()


def migration_folder(place: str | Path | PostgresAddress) -> Path:
    """The folder of this machine in which a collection's migrations leave their state."""
    return local_folder_of(collection_address(place))


def require_collection(place: Path | PostgresAddress) -> None:
    """Raise CollectionNotFound where there is none."""
    if not is_catalog(place):
        raise CollectionNotFound(
            f"no collection at {place}",
            expected="the folder or the address of a collection",
            hint=f"make one: gnomon index PATH --into {shlex.quote(str(place))}",
        )


def busy_error(folder: Path) -> CollectionBusy:
    """The error that names the running migration."""
    found = status(folder)
    place, which = str(folder), ""
    if found is not None:
        place = found.collection
        to = found.version or "a new version"
        model = f" with {found.model}" if found.model else ""
        which = f": {to}{model}, {found.stage}, started {found.started} by process {found.pid}"
    return CollectionBusy(
        f"a migration of {place} is running{which}",
        expected="one migration at a time",
        hint=f"gnomon migrate {shlex.quote(place)} --status shows it, --stop ends it",
    )


def error_to_plain(error: GnomonError) -> dict[str, str]:
    """An error as plain values, for the state file."""
    return {"kind": type(error).__name__, "message": error.message, "expected": error.expected, "hint": error.hint}


def error_from_plain(kept: dict[str, str]) -> GnomonError:
    """The error of a state file, also of gnomon 0.1, to be raised in the process that follows the migration."""
    kind = NotReady if kept["kind"] == "NotReady" else getattr(errors, kept["kind"], GnomonError)
    error: GnomonError = kind(
        kept.get("message", kept.get("came", "")),
        expected=kept.get("expected", kept.get("wanted", "")),
        hint=kept.get("hint", kept.get("next", "")),
    )
    return error


def _sum(plain: Mapping[str, Any]) -> int:
    """CRC-32 of a state's JSON."""
    return zlib.crc32(json.dumps(plain, sort_keys=True).encode())


def _read(folder: Path) -> Migration | None:
    try:
        plain = json.loads((folder / FOLDER / STATE).read_text(encoding="utf-8"))
        total = plain.pop(_SUM, None)  # gnomon 0.1 wrote none
        return Migration.from_json(plain) if total in (None, _sum(plain)) else None
    except (OSError, ValueError, AttributeError, InvalidInput):  # no file, or one that something else wrote
        return None
