"""Label-free health of a collection: looked at again and again, compared with a baseline."""

from __future__ import annotations

from gnomon.evolve.watching.look import watch
from gnomon.evolve.watching.report import Check, RolledBack, WatchReport
from gnomon.evolve.watching.settings import WatchSettings

__all__ = ["Check", "RolledBack", "WatchReport", "WatchSettings", "watch"]
