"""Changing what serves a live collection, safely: plan, migrate, watch, look inside.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.evolve.planning import Plan, PlanSettings, plan

_HOME = {
    "Plan": "planning",
    "PlanSettings": "planning",
    "plan": "planning",
}

__all__ = ["Plan", "PlanSettings", "plan"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.evolve.{_HOME[name]}"), name)
