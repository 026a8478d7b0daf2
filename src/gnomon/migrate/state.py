"""What is known of a migration: one JSON file, replaced whole, and a lock that its builder holds.

Who holds the lock is at work; a file that speaks of work while nobody holds it was left by one that was
killed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from gnomon.collection.catalog.connection import explained
from gnomon.collection.catalog.versions import timestamp
from gnomon.core.errors import CollectionBusy, GnomonError, InvalidInput

FOLDER, STATE, LOG, LOCK, STOP = "migration", "state.json", "log.txt", "lock", "stop"
Stage = Literal["checking", "bridging", "building", "indexing", "judging", "switching", "over"]
Outcome = Literal["switched", "ready", "refused", "stopped", "failed", "killed"]
_CLAIM_S = 2.0  # a look at the lock takes it for a moment
_EVERY_S = 0.3


@dataclass(frozen=True)
class Migration:
    """How a migration stands. `stage` is checking, building, bridging, indexing, judging, switching or over.

    `outcome` is None while it goes on; then switched, ready (built; no switch was asked for), refused (the
    gate or the lack of one), stopped, failed or killed. Of `tokens` and `texts` that this run was to embed,
    `tokens_done` and `texts_done` are. `behind` documents lack still. `seconds` is since the first text of
    this run, `left_s` what is expected still. `why` says what came of it, `error` what went wrong. `bridge`
    has whether one serves, and what it finds or why it was refused; `order` says what is embedded first.
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
    seconds: float = 0.0
    asked: int = 0
    asked_of: int = 0
    gate: str | None = None
    report: str | None = None
    switch_seconds: float | None = None
    error: dict[str, str] | None = None
    bridge: dict[str, Any] | None = None
    order: str = ""
    log: str | None = None
    running: bool = False

    @property
    def rate(self) -> float:
        """Tokens a second, pauses included."""
        return self.tokens_done / self.seconds if self.seconds else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until the texts are embedded, at the rate so far; None before there is one."""
        if not self.tokens_done or not self.seconds:
            return None
        return max(0, self.tokens - self.tokens_done) / self.rate

    @property
    def share(self) -> float:
        """The part of the tokens that is done."""
        return min(1.0, self.tokens_done / self.tokens) if self.tokens else 1.0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**asdict(self), "rate": self.rate, "left_s": self.left_s}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Migration:
        """What `to_json` wrote; what another release wrote besides is passed over."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in plain.items() if name in known})


class Record:
    """Writes how the one migration stands that holds the lock. Made by `sole`."""

    def __init__(self, folder: Path, first: Migration) -> None:
        self._file = folder / FOLDER / STATE
        self._stop = folder / FOLDER / STOP
        self._written = 0.0
        self.now = first
        self.set()

    def set(self, **known: Any) -> Migration:
        """Take note of something, at once."""
        self.now = replace(self.now, **known, updated=timestamp())
        self._written = time.monotonic()
        with explained(self._file):
            write_whole(self._file, json.dumps(self.now.to_json(), indent=1, ensure_ascii=False))
        return self.now

    def tell(self, **known: Any) -> None:
        """The same, on the disk only now and then."""
        self.now = replace(self.now, **known)
        if time.monotonic() - self._written >= _EVERY_S:
            self.set()

    def is_to_stop(self) -> bool:
        """Whether somebody asked it to."""
        return self._stop.exists()


@contextmanager
def sole(folder: Path, first: Migration) -> Iterator[Record]:
    """Be the one migration of a collection. Raises CollectionBusy, which names the other one."""
    with explained(folder):
        (folder / FOLDER).mkdir(exist_ok=True)
        lock = FileLock(folder / FOLDER / LOCK)
        try:
            lock.acquire(timeout=_CLAIM_S, poll_interval=0.05)
        except Timeout as error:
            raise busy(folder) from error
    try:
        (folder / FOLDER / STOP).unlink(missing_ok=True)
        yield Record(folder, first)
    finally:
        lock.release()


def status(folder: str | Path) -> Migration | None:
    """How the migration of a collection stands, or how the last one ended; None where there was none."""
    place = Path(folder).expanduser().absolute()
    running, found = is_running(place), _read(place)
    if found is not None and found.outcome is None and not running:
        running, found = is_running(place), _read(place)  # it may have begun, or ended, between the two looks
    if found is None:
        return None
    if running or found.outcome is not None:
        return replace(found, running=running and found.outcome is None)
    why = f"the process {found.pid} that built it ended without a word; the same command goes on"
    return replace(found, outcome="killed", why=why, running=False)


def is_running(folder: Path) -> bool:
    """Whether a builder is at work."""
    if not (folder / FOLDER / LOCK).exists():
        return False
    lock = FileLock(folder / FOLDER / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def stop(folder: str | Path, *, wait_s: float = 120.0) -> Migration:
    """Ask a running migration to end, and wait for it: what it has done stays.

    Raises InvalidInput where none runs, CollectionBusy where it does not end in time.
    """
    place = Path(folder).expanduser().absolute()
    if not is_running(place):
        raise InvalidInput(
            f"no migration of {place} is running",
            expected="one to stop",
            hint="gnomon migrate COLLECTION --status says how the last one ended",
        )
    (place / FOLDER / STOP).touch()
    end = time.monotonic() + wait_s
    while is_running(place):
        if time.monotonic() > end:
            raise CollectionBusy(
                f"the migration of {place} was asked to stop and is still at it after {wait_s:g} s",
                expected="its end",
                hint="it looks after each slice of texts: wait, then look with --status",
            )
        time.sleep(0.1)
    found = status(place)
    if found is None:
        raise InvalidInput(f"{place} has no migration any more", expected="its state", hint="begin again")
    return found


def busy(folder: Path) -> CollectionBusy:
    """That another migration is on, and which."""
    found = status(folder)
    known = ""
    if found is not None:
        to = found.version or "a new version"
        model = f" with {found.model}" if found.model else ""
        known = f": {to}{model}, {found.stage}, begun {found.started} by process {found.pid}"
    return CollectionBusy(
        f"a migration of {folder} is running{known}",
        expected="one migration at a time",
        hint=f"gnomon migrate {folder} --status shows it, --stop ends it",
    )


def error_json(error: GnomonError) -> dict[str, str]:
    """An error as it is kept."""
    return {"kind": type(error).__name__, "message": error.message, "expected": error.expected, "hint": error.hint}


def error_of(kept: dict[str, str]) -> GnomonError:
    """The error that was kept, to be raised in the process that follows."""
    from gnomon.collection.catalog.versions import NotReady
    from gnomon.core import errors

    kind = NotReady if kept["kind"] == "NotReady" else getattr(errors, kept["kind"], GnomonError)
    error: GnomonError = kind(
        kept.get("message", kept.get("came", "")),
        expected=kept.get("expected", kept.get("wanted", "")),
        hint=kept.get("hint", kept.get("next", "")),
    )
    return error


def write_whole(path: Path, text: str) -> None:
    """Write a file beside and put it in its place: whoever reads it sees all of it, old or new."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8", errors="surrogatepass")
    beside.replace(path)


def _read(folder: Path) -> Migration | None:
    try:
        text = (folder / FOLDER / STATE).read_text(encoding="utf-8")
        return Migration.from_json(json.loads(text))
    except (OSError, ValueError):  # there is none, or what is there was written by something else
        return None
