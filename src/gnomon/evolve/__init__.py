"""Changing what serves a live collection, safely: plan, migrate, watch, look inside.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.evolve.examining.examination import examine
    from gnomon.evolve.examining.report import Examination, Finding
    from gnomon.evolve.examining.store import StoreExamination, StoreSettings, examine_store
    from gnomon.evolve.planning import Plan, PlanSettings, plan

_HOME = {
    "Examination": "examining.report",
    "Finding": "examining.report",
    "Plan": "planning",
    "PlanSettings": "planning",
    "StoreExamination": "examining.store",
    "StoreSettings": "examining.store",
    "examine": "examining.examination",
    "examine_store": "examining.store",
    "plan": "planning",
}

__all__ = [
    "Examination",
    "Finding",
    "Plan",
    "PlanSettings",
    "StoreExamination",
    "StoreSettings",
    "examine",
    "examine_store",
    "plan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.evolve.{_HOME[name]}"), name)
