"""The process that builds: python -m gnomon.migrate.worker FOLDER JSON. `background` begins it."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from gnomon.core.errors import CollectionBusy, GnomonError
from gnomon.migrate.migration import MigrateSettings, Watching, run_migration
from gnomon.migrate.process import BUSY
from gnomon.migrate.state import Migration

_FAILED = 1


def main(arguments: list[str]) -> int:
    """Run one migration at low priority, with a log on stderr. Returns the exit code."""
    from gnomon.collection.opening import open_collection
    from gnomon.collection.settings import CollectionSettings
    from gnomon.migrate.change import Change
    from gnomon.migrate.throttle import share_of

    folder, given = Path(arguments[0]), json.loads(arguments[1])
    settings = MigrateSettings.from_json(given["settings"])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(AttributeError, OSError):  # not everywhere, and not allowed everywhere
        os.nice(settings.nice)
    threads = share_of(settings.cpu_share).threads
    log = _Log()
    watching = Watching(told=log.told, say=log.say, run=given["run"])
    try:
        opened = CollectionSettings(threads=threads)
        with open_collection(folder, create=False, settings=opened, say=log.say) as kb:
            run_migration(kb, Change(**given["change"]), settings, watching)
    except CollectionBusy as error:
        log.say(str(error))
        return BUSY
    except KeyboardInterrupt:
        return 130
    except GnomonError as error:
        log.say(str(error))
        return _FAILED
    except Exception:
        traceback.print_exc()
        raise
    return 0


class _Log:
    """Lines with the time, where a stage begins or something is said."""

    def __init__(self) -> None:
        self._stage = ""

    def told(self, at: Migration) -> None:
        """Take note of a new stage."""
        stage = f"{at.version or ''} {at.stage} {at.outcome or ''}".strip()
        if stage != self._stage:
            self._stage = stage
            self.say(f"{stage}: {at.why}" if at.why else stage)

    def say(self, text: str) -> None:
        """Write a line."""
        from gnomon.collection.catalog.versions import timestamp

        sys.stderr.write(f"{timestamp()} {os.getpid()} {text}\n")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
