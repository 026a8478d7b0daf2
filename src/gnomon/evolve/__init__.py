"""Changing what serves a live collection, safely: plan, migrate, watch, look inside.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.evolve.aim import Change
    from gnomon.evolve.background import follow, start
    from gnomon.evolve.examining.examination import examine
    from gnomon.evolve.examining.report import Examination, Finding
    from gnomon.evolve.examining.store import StoreExamination, StoreSettings, examine_store
    from gnomon.evolve.gating import Asking, Gated, gate
    from gnomon.evolve.judging import GateSettings
    from gnomon.evolve.migrating import MigrateSettings, migrate
    from gnomon.evolve.planning import Plan, PlanSettings, plan
    from gnomon.evolve.record import Migration, status, stop
    from gnomon.evolve.watching import WatchReport, WatchSettings, watch

_HOME = {
    "Asking": "gating",
    "Change": "aim",
    "Examination": "examining.report",
    "Finding": "examining.report",
    "GateSettings": "judging",
    "Gated": "gating",
    "MigrateSettings": "migrating",
    "Migration": "record",
    "Plan": "planning",
    "PlanSettings": "planning",
    "StoreExamination": "examining.store",
    "StoreSettings": "examining.store",
    "WatchReport": "watching",
    "WatchSettings": "watching",
    "examine": "examining.examination",
    "examine_store": "examining.store",
    "follow": "background",
    "gate": "gating",
    "migrate": "migrating",
    "plan": "planning",
    "start": "background",
    "status": "record",
    "stop": "record",
    "watch": "watching",
}

__all__ = [
    "Asking",
    "Change",
    "Examination",
    "Finding",
    "GateSettings",
    "Gated",
    "MigrateSettings",
    "Migration",
    "Plan",
    "PlanSettings",
    "StoreExamination",
    "StoreSettings",
    "WatchReport",
    "WatchSettings",
    "examine",
    "examine_store",
    "follow",
    "gate",
    "migrate",
    "plan",
    "start",
    "status",
    "stop",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.evolve.{_HOME[name]}"), name)
