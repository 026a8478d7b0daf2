"""The old name of `gnomon.migrate`, `gnomon.doctor` and `gnomon.monitor`."""

from __future__ import annotations

from typing import Any

from gnomon.core.renamed import renamed

_NEW = {
    "gnomon.doctor": ("Examination", "Finding", "StoreExamination", "StoreSettings", "examine", "examine_store"),
    "gnomon.monitor": ("WatchReport", "WatchSettings", "watch"),
    "gnomon.migrate": (
        "Asking", "Bridge", "BridgeRefused", "BridgeSettings", "Bridged", "Change", "GateSettings", "Gated", "Handed",
        "Meanwhile", "Measured", "MigrateSettings", "Migration", "Plan", "PlanSettings", "bridge_for", "bridged",
        "fit_bridge", "follow", "gate", "handed", "load_bridge", "migrate", "plan", "save_bridge", "side_of", "start",
        "status", "stop",
    ),
}  # fmt: skip


def _unknown(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__getattr__ = renamed(__name__, _unknown, {name: f"{place}:{name}" for place, names in _NEW.items() for name in names})
