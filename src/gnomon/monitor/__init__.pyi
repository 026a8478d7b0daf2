from .report import Alarm, Check, MonitorReport, RolledBack
from .run import monitor
from .settings import MonitorSettings

__all__ = [
    "Alarm",
    "Check",
    "MonitorReport",
    "MonitorSettings",
    "RolledBack",
    "monitor",
]
