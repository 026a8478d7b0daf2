"""What docs/pseudo.md is made of, from the figures of `pseudo.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    figures = results("pseudo")
    agreement, damage = figures["agreement"], figures["damage"]
    columns = [rows for modes in damage.values() for rows in modes.values()]
    return {
        "correlations": list(_correlations(agreement)),
        "kinds": {name: list(next(iter(facts["pseudo"].values()))) for name, facts in agreement.items()},
        "settings": {
            name: [(setting, true, *facts["pseudo"][setting].values()) for setting, true in facts["truth"].items()]
            for name, facts in agreement.items()
        },
        "damage_heads": ("damage", *(f"{name}, {mode}" for name, modes in damage.items() for mode in modes)),
        "damage_rows": [(kind, *(_alarms(both[kind]) for both in columns)) for kind in columns[0]],
        "growth": [(name, own["documents_added"], _alarms(own)) for name, own in figures["growth"].items()],
        "shares": list(_shares(figures["healthy"])),
    }


def _alarms(own: Mapping[str, float]) -> str:
    return f"{own['alarms']:.2f} / {own['alarms_same_queries']:.2f}"


def _correlations(agreement: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for name, facts in agreement.items():
        for kind, both in facts["correlation"].items():
            choice = facts["chosen"][kind]
            yield name, kind, both["pearson"], both["kendall"], choice["setting"], choice["loss"]


def _shares(healthy: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for name, modes in healthy.items():
        for mode, kinds in modes.items():
            for kind, share in kinds.items():
                yield name, mode, kind, share
