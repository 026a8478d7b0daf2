from .adapter.files import load_bridge, save_bridge
from .adapter.fit import Bridge, BridgeRefused, BridgeSettings, Measured, fit_bridge
from .adapter.retriever import Bridged, Handed, bridge_for, bridged, handed, side_of
from .change import Change
from .gate import Asking, Gated, gate
from .judgments import GateSettings
from .migration import MigrateSettings, migrate
from .plan import Plan, PlanSettings, plan
from .prefill import Meanwhile
from .process import follow, start
from .state import Migration, status, stop

__all__ = [
    "Asking",
    "Bridge",
    "BridgeRefused",
    "BridgeSettings",
    "Bridged",
    "Change",
    "GateSettings",
    "Gated",
    "Handed",
    "Meanwhile",
    "Measured",
    "MigrateSettings",
    "Migration",
    "Plan",
    "PlanSettings",
    "bridge_for",
    "bridged",
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
]
