from .history import MonitorHistory, monitor_history
from .report import Alarm, Check, MonitorReport, MonitorSettings, RolledBack
from .run import monitor

__all__ = [
    "Alarm",
    "Check",
    "MonitorHistory",
    "MonitorReport",
    "MonitorSettings",
    "RolledBack",
    "monitor",
    "monitor_history",
]
