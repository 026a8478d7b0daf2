"""Changing what serves a live collection, safely: plan, migrate, bridge, watch, look inside.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.evolve.aim import Change
    from gnomon.evolve.background import follow, start
    from gnomon.evolve.bridge import Bridge, BridgeRefused, BridgeSettings, Measured, fit_bridge
    from gnomon.evolve.bridge_files import load_bridge, save_bridge
    from gnomon.evolve.bridging import Bridged, Handed, bridge_for, bridged, handed, side_of
    from gnomon.evolve.examining.examination import examine
    from gnomon.evolve.examining.report import Examination, Finding
    from gnomon.evolve.examining.store import StoreExamination, StoreSettings, examine_store
    from gnomon.evolve.gating import Asking, Gated, gate
    from gnomon.evolve.judging import GateSettings
    from gnomon.evolve.meanwhile import Meanwhile
    from gnomon.evolve.migrating import MigrateSettings, migrate
    from gnomon.evolve.planning import Plan, PlanSettings, plan
    from gnomon.evolve.record import Migration, status, stop
    from gnomon.evolve.watching import WatchReport, WatchSettings, watch

_HOME = {
    "Asking": "gating",
    "Bridge": "bridge",
    "BridgeRefused": "bridge",
    "BridgeSettings": "bridge",
    "Bridged": "bridging",
    "Change": "aim",
    "Examination": "examining.report",
    "Finding": "examining.report",
    "GateSettings": "judging",
    "Gated": "gating",
    "Handed": "bridging",
    "Meanwhile": "meanwhile",
    "Measured": "bridge",
    "MigrateSettings": "migrating",
    "Migration": "record",
    "Plan": "planning",
    "PlanSettings": "planning",
    "StoreExamination": "examining.store",
    "StoreSettings": "examining.store",
    "WatchReport": "watching",
    "WatchSettings": "watching",
    "bridge_for": "bridging",
    "bridged": "bridging",
    "examine": "examining.examination",
    "examine_store": "examining.store",
    "fit_bridge": "bridge",
    "follow": "background",
    "gate": "gating",
    "handed": "bridging",
    "load_bridge": "bridge_files",
    "migrate": "migrating",
    "plan": "planning",
    "save_bridge": "bridge_files",
    "side_of": "bridging",
    "start": "background",
    "status": "record",
    "stop": "record",
    "watch": "watching",
}

__all__ = [
    "Asking",
    "Bridge",
    "BridgeRefused",
    "BridgeSettings",
    "Bridged",
    "Change",
    "Examination",
    "Finding",
    "GateSettings",
    "Gated",
    "Handed",
    "Meanwhile",
    "Measured",
    "MigrateSettings",
    "Migration",
    "Plan",
    "PlanSettings",
    "StoreExamination",
    "StoreSettings",
    "WatchReport",
    "WatchSettings",
    "bridge_for",
    "bridged",
    "examine",
    "examine_store",
    "fit_bridge",
    "follow",
    "gate",
    "handed",
    "load_bridge",
    "migrate",
    "plan",
    "save_bridge",
    "side_of",
    "start",
    "status",
    "stop",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.evolve.{_HOME[name]}"), name)
