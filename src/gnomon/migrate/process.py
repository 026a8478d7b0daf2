"""A migration in a background process, which outlives the process that started it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from gnomon.collection.address import PostgresAddress, collection_address
from gnomon.core.errors import GnomonError
from gnomon.core.files import exists, storage_errors
from gnomon.core.renamed import renamed_argument
from gnomon.core.serialize import to_plain
from gnomon.migrate.change import Change, model_reference
from gnomon.migrate.migration import MigrateSettings
from gnomon.migrate.state import (
    FOLDER,
    LOG,
    Migration,
    busy_error,
    error_from_plain,
    is_running,
    migration_folder,
    require_collection,
    status,
)
from gnomon.migrate.throttle import throttle_for

EXIT_BUSY = 75
"""The process's exit code if another migration is running."""
_MAX_LOG_BYTES = 1_000_000


@dataclass(frozen=True)
class BackgroundRun:
    """A migration in a background process; `run` is the id that its state file has."""

    folder: Path
    process: subprocess.Popen[bytes]
    run: str


def start(
    folder: str | Path | PostgresAddress, change: Change, settings: MigrateSettings | None = None
) -> BackgroundRun:
    """Start a migration in the background and return at once. Its log is migration/log.txt.

    Raises CollectionNotFound, and CollectionBusy, which names the migration that is running.
    """
    address = collection_address(folder)
    settings = settings or MigrateSettings()
    require_collection(address)
    place = migration_folder(address)
    if is_running(place):
        raise busy_error(place)
    change = replace(change, to=None if change.to is None else model_reference(change.to))
    run = uuid.uuid4().hex
    job = {"change": to_plain(change), "settings": settings.with_absolute_paths().to_json(), "run": run}
    threads = str(throttle_for(settings.cpu_share).threads)
    secret = address.environment() if isinstance(address, PostgresAddress) else {}
    environment = {**os.environ, **secret, "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    with storage_errors(place):
        (place / FOLDER).mkdir(exist_ok=True)
        log = place / FOLDER / LOG
        if exists(log) and log.stat().st_size > _MAX_LOG_BYTES:
            log.unlink()
        with log.open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "gnomon.migrate.worker", str(address), json.dumps(job)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal does not reach it
            )
    threading.Thread(target=process.wait, name="gnomon-migration", daemon=True).start()  # leaves no zombie
    return BackgroundRun(place, process, run)


def wait_until_begun(started: BackgroundRun, *, poll_s: float = 0.05) -> Migration:
    """Wait until `status` shows a migration that was started, and return its state then.

    Raises CollectionBusy if another migration was running, GnomonError if its process ended before.
    """
    while True:
        exit_code, current = started.process.poll(), status(started.folder)
        if current is not None and current.run == started.run:
            return current
        if exit_code == EXIT_BUSY:
            raise busy_error(started.folder)
        if exit_code is not None:
            raise _died(started, exit_code)
        time.sleep(poll_s)


@renamed_argument("told", "on_state")
def follow(started: BackgroundRun, on_state: Callable[[Migration], None], *, poll_s: float = 0.2) -> Migration:
    """Wait for the end of a background migration; `on_state` is called with its state. Interrupting does not stop it.

    Raises what the process raised, CollectionBusy if another migration was running, GnomonError if it was killed.
    """
    while True:
        exit_code = started.process.poll()
        current = status(started.folder)
        is_own = current is not None and current.run == started.run
        if current is not None and is_own:
            on_state(current)
            if current.outcome == "failed" and current.error is not None:
                raise error_from_plain(current.error)
            if current.outcome is not None and current.outcome != "killed":
                started.process.wait()
                return current
        if exit_code == EXIT_BUSY and not is_own:
            raise busy_error(started.folder)
        if exit_code is not None:
            raise _died(started, exit_code)
        time.sleep(poll_s)


def _died(started: BackgroundRun, code: int) -> GnomonError:
    log = started.folder / FOLDER / LOG
    lines = log.read_text(errors="replace").strip().splitlines() if exists(log) else []
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    last = f"; its last log line: {lines[-1]}" if lines else ""
    return GnomonError(
        f"the migration's process {started.process.pid} ended with {how} before it was done{last}",
        expected="an outcome",
        hint=f"its log is {log}; the same command resumes the migration",
    )
