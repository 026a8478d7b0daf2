"""The background process of a migration: python -m gnomon.migrate.worker FOLDER JSON. `process.start` runs it."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress

from gnomon.collection.catalog.versions import timestamp
from gnomon.collection.opening import open_collection
from gnomon.collection.settings import CollectionSettings
from gnomon.core.errors import CollectionBusy, GnomonError
from gnomon.core.progress import messages_to
from gnomon.core.serialize import from_plain
from gnomon.migrate.change import Change
from gnomon.migrate.migration import MigrateSettings, run_migration
from gnomon.migrate.process import EXIT_BUSY
from gnomon.migrate.state import Migration
from gnomon.migrate.throttle import throttle_for

_EXIT_FAILED, _EXIT_INTERRUPTED = 1, 130


def main(arguments: list[str]) -> int:
    """Run one migration at low priority, with a log on stderr. Returns the exit code."""
    place, job = arguments[0], json.loads(arguments[1])
    settings = MigrateSettings.from_json(job["settings"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(AttributeError, OSError):  # not on every system, not always permitted
        os.nice(settings.nice)
    opened = CollectionSettings(threads=throttle_for(settings.cpu_share).threads)
    log = _Log()
    try:
        with open_collection(place, create=False, settings=opened, progress=messages_to(log.write)) as kb:
            change, progress = from_plain(Change, job["change"]), messages_to(log.write)
            run_migration(kb, change, settings, run_id=job["run"], on_state=log.write_stage, progress=progress)
    except CollectionBusy as error:
        log.write(str(error))
        return EXIT_BUSY
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except GnomonError as error:
        log.write(str(error))
        return _EXIT_FAILED
    except Exception:
        traceback.print_exc()
        raise
    return 0


class _Log:
    """Lines with the time: new stages of the migration, and messages."""

    def __init__(self) -> None:
        self._stage = ""

    def write_stage(self, at: Migration) -> None:
        """Write a line if the stage is a new one."""
        stage = f"{at.version or ''} {at.stage} {at.outcome or ''}".strip()
        if stage != self._stage:
            self._stage = stage
            self.write(f"{stage}: {at.why}" if at.why else stage)

    def write(self, text: str) -> None:
        """Write a line."""
        sys.stderr.write(f"{timestamp()} {os.getpid()} {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
