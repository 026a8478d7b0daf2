"""The old name of `gnomon.migrate`, `gnomon.doctor` and `gnomon.monitor`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gnomon.core.progress import messages_to
from gnomon.core.renamed import renamed

_NEW = {
    "gnomon.doctor": (
        "Examination=DoctorReport", "Finding=DoctorFinding", "StoreExamination=StoreReport", "StoreSettings", "examine",
        "examine_store",
    ),
    "gnomon.monitor": ("WatchReport=MonitorReport", "WatchSettings=MonitorSettings", "watch=monitor"),
    "gnomon.migrate": (
        "Bridge=EmbeddingAdapter", "BridgeRefused=AdapterRefused", "BridgeSettings=AdapterSettings",
        "Bridged=DualIndexRetriever", "Change", "GateSettings", "Gated=GateReport", "Handed=EmbeddingCoverage",
        "Meanwhile=Prefill", "Measured=AdapterQuality", "MigrateSettings", "Migration", "Plan",
        "bridge_for=fit_adapter_for", "bridged=dual_index_retriever", "fit_bridge=fit_adapter", "follow",
        "handed=embedding_coverage", "load_bridge=load_adapter", "migrate", "save_bridge=save_adapter",
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


@dataclass(frozen=True)
class Asking:
    """Parameters of `gnomon.migrate.gate`: `queries` is called with how many queries are done, and of how many."""

    queries: Callable[[int, int], None] = lambda _done, _of: None
    dataset: Any = None


@dataclass(frozen=True)
class PlanSettings:
    """Parameters of `gnomon.migrate.plan`: `say` is called with messages."""

    cpu_share: float = 0.5
    say: Callable[[str], None] = lambda _: None


def gate(kb: Any, version: str, settings: Any = None, *, asking: Asking | None = None) -> Any:
    """`gnomon.migrate.gate`, with some of its parameters in a value."""
    from gnomon.migrate import gate as new

    _warn("gate", "with dataset= and progress= in place of Asking")
    old = asking or Asking()
    return new(
        kb, version, settings, dataset=old.dataset, progress=lambda event: old.queries(event.done, event.total or 0)
    )


def plan(kb: Any, to: Any = None, *, settings: PlanSettings | None = None, **given: Any) -> Any:
    """`gnomon.migrate.plan`, with some of its parameters in a value."""
    from gnomon.migrate import plan as new

    _warn("plan", "with cpu_share= and progress= in place of PlanSettings")
    old = settings or PlanSettings()
    return new(kb, to, cpu_share=old.cpu_share, progress=messages_to(old.say), **given)


def _warn(name: str, how: str) -> None:
    text = f"gnomon.evolve.{name} is now gnomon.migrate.{name}, {how}; the old name will be removed in 0.3"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
