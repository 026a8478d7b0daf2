from .report import Alarm, Check, MonitorReport, MonitorSettings, RolledBack
from .run import monitor

__all__ = [
    "Alarm",
    "Check",
    "MonitorReport",
    "MonitorSettings",
    "RolledBack",
    "monitor",
]
