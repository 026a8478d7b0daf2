"""What docs/gate.md is made of, from the figures of `gate.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Cell = dict[str, Any]


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    figures = results("gate")
    cells = figures["cells"]
    counts, effects = _values(cells, "n"), sorted(_values(cells, "effect"))
    recall = [c for c in cells if c["metric"] == "recall@10"]
    ndcg = [c for c in cells if c["metric"] == "nDCG@10"]

    def rows(of: Sequence[Cell], effect: float, *shares: Callable[[Cell], float]) -> list[list[Any]]:
        return [[n, *(_range(_at(of, effect, n), share) for share in shares)] for n in counts]

    def by_effect(of: Sequence[Cell], some: Sequence[float], *shares: Callable[[Cell], float]) -> list[list[Any]]:
        return [[f"{effect:+g}", *row] for effect in some for row in rows(of, effect, *shares)]

    below = [effect for effect in effects if effect < 0]
    stops = (lambda c: 1 - _passes(c), _of("worse"), lambda c: 1 - c["fixed_passes"], _of("better"))
    return {
        "populations": [
            (
                p["name"], p["metric"], f"{p['queries']:,}", f"{p['mean_difference']:+.4f}", f"{p['sd']:.3f}",
                f"{p['ties']:.0%}",
            )
            for p in figures["populations"]
        ],
        "worse": by_effect(recall, below, _passes, _of("fixed_passes"), _of("bca_alone_passes")),
        "equal": rows(recall, 0.0, *stops),
        "better": rows(recall, 0.02, _passes, _of("better"), _of("fixed_passes")),
        "ndcg": by_effect(ndcg, effects, *map(_of, ("better", "not_worse", "undecided", "worse"))),
    }  # fmt: skip


def _values(cells: Sequence[Cell], key: str) -> list[Any]:
    return list(dict.fromkeys(cell[key] for cell in cells))


def _at(cells: Sequence[Cell], effect: float, n: int) -> list[Cell]:
    return [cell for cell in cells if cell["effect"] == effect and cell["n"] == n]


def _passes(cell: Cell) -> float:
    return float(cell["better"] + cell["not_worse"])


def _of(name: str) -> Callable[[Cell], float]:
    return lambda cell: float(cell[name])


def _range(cells: Sequence[Cell], how: Callable[[Cell], float]) -> str:
    """The mean over the populations, and the least and the greatest."""
    values = [how(cell) for cell in cells]
    return f"{sum(values) / len(values):.1%} ({min(values):.1%}–{max(values):.1%})"
