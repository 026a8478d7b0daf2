"""A migration in a process of its own, which outlives the one that began it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gnomon.collection.catalog.connection import FILE, explained
from gnomon.core.errors import CollectionNotFound, GnomonError
from gnomon.migrate.change import Change, reference
from gnomon.migrate.judgments import with_queries
from gnomon.migrate.migration import MigrateSettings
from gnomon.migrate.state import FOLDER, LOG, Migration, busy, error_of, is_running, status
from gnomon.migrate.throttle import share_of

BUSY = 75
"""The builder's exit code where another one was first."""
_LOG_BYTES = 1_000_000


@dataclass(frozen=True)
class Started:
    """A builder that was begun: its process, and what it calls its run."""

    folder: Path
    process: subprocess.Popen[bytes]
    run: str


def start(folder: str | Path, change: Change, settings: MigrateSettings | None = None) -> Started:
    """Begin a migration in the background, and return at once. Its log is migration/log.txt.

    Raises CollectionNotFound, and CollectionBusy, which names the migration that is running.
    """
    place = Path(folder).expanduser().absolute()
    settings = settings or MigrateSettings()
    if not (place / FILE).is_file():
        raise CollectionNotFound(
            f"no collection at {place}",
            expected=f"a folder that holds {FILE}",
            hint=f"make one: gnomon index PATH --into {place}",
        )
    if is_running(place):
        raise busy(place)
    ahead = settings.meanwhile
    if ahead.asked is not None:
        ahead = replace(ahead, asked=str(Path(ahead.asked).expanduser().resolve()))
    settings = replace(settings, gate=with_queries(settings.gate, settings.gate.queries), meanwhile=ahead)
    change = replace(change, to=None if change.to is None else reference(change.to))
    run = uuid.uuid4().hex
    given = {"change": asdict(change), "settings": settings.to_json(), "run": run}
    threads = str(share_of(settings.cpu_share).threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    with explained(place):
        (place / FOLDER).mkdir(exist_ok=True)
        log = place / FOLDER / LOG
        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.unlink()
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "gnomon.migrate.worker", str(place), json.dumps(given)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal is not for it
            )
    return Started(place, process, run)


def follow(started: Started, told: Callable[[Migration], None], *, poll_s: float = 0.2) -> Migration:
    """Wait until a builder has ended, and tell how it stands meanwhile. Leaving this leaves it at work.

    Raises what it raised, CollectionBusy where another one was first, and GnomonError where it was killed.
    """
    while True:
        ended = started.process.poll()
        found = status(started.folder)
        own = found is not None and found.run == started.run
        if found is not None and own:
            told(found)
            if found.outcome == "failed" and found.error is not None:
                raise error_of(found.error)
            if found.outcome is not None and found.outcome != "killed":
                started.process.wait()
                return found
        if ended == BUSY and not own:
            raise busy(started.folder)
        if ended is not None:
            raise _ended(started, ended)
        time.sleep(poll_s)


def _ended(started: Started, code: int) -> GnomonError:
    log = started.folder / FOLDER / LOG
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    last = f"; the last it said: {lines[-1]}" if lines else ""
    return GnomonError(
        f"the builder, process {started.process.pid}, ended with {how} before it was done{last}",
        expected="a word of how it went",
        hint=f"its log is {log}; the same command goes on where it was",
    )
