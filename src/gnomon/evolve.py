"""The old name of `gnomon.migrate`, `gnomon.doctor` and `gnomon.monitor`."""

from __future__ import annotations

from typing import Any

from gnomon.core.renamed import renamed

_NEW = {
    "gnomon.doctor": ("Examination", "Finding", "StoreExamination", "StoreSettings", "examine", "examine_store"),
    "gnomon.monitor": ("WatchReport", "WatchSettings", "watch"),
    "gnomon.migrate": (
        "Bridge=EmbeddingAdapter", "BridgeRefused=AdapterRefused", "BridgeSettings=AdapterSettings",
        "Bridged=DualIndexRetriever", "Change", "GateSettings", "Gated=GateReport", "Handed=EmbeddingCoverage",
        "Meanwhile=Prefill", "Measured=AdapterQuality", "MigrateSettings", "Migration", "Plan", "PlanSettings",
        "bridge_for=fit_adapter_for", "bridged=dual_index_retriever", "fit_bridge=fit_adapter", "follow", "gate",
        "handed=embedding_coverage", "load_bridge=load_adapter", "migrate", "plan", "save_bridge=save_adapter",
        "side_of=found_by", "start", "status", "stop",
    ),
}  # fmt: skip
"""Where each name is now, and how it is called there if not as before."""


def _unknown(name: str) -> Any:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_NAMES = {
    name.partition("=")[0]: f"{place}:{name.rpartition('=')[2]}" for place, names in _NEW.items() for name in names
}
__getattr__ = renamed(__name__, _unknown, _NAMES)
