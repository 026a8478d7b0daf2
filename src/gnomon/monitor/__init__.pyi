from .monitor import watch
from .report import Check, RolledBack, WatchReport
from .settings import WatchSettings

__all__ = [
    "Check",
    "RolledBack",
    "WatchReport",
    "WatchSettings",
    "watch",
]
