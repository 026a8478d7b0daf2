"""What docs/monitoring.md is made of, and its pictures, from the figures of `monitoring.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench import pages
from gnomon.kernels.drift import cusum_limit

IMAGES = pages.DOCS / "images"
_BLUE, _RED, _GREEN, _ORANGE, _SOFT = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#9AA5B1"

_CHECKS = (
    (
        "canaries",
        "fixed texts of both roles, encoded now and when the collection was made",
        "cosine under 0.999",
        "model changed",
    ),
    (
        "vectors",
        "stored vectors drawn at random, and their texts encoded again",
        "cosine under 0.999, zero, NaN, cut, missing; the share with its exact interval",
        "index damaged",
    ),
    (
        "recall",
        "the served index against exact search in the catalog's vectors",
        "mean below 98 % of the baseline's (Gaffke's bound)",
        "index damaged",
    ),
    (
        "queries",
        "recent queries against those of the baseline",
        "MMD with an RBF kernel, and a linear classifier, each by permutation",
        "queries changed",
    ),
    (
        "documents",
        "one chunk each of random documents, against those of the baseline",
        "the same two tests",
        "documents changed",
    ),
    (
        "golden",
        "the same judged queries as in the baseline, or queries made from the corpus",
        "CUSUM of the mean",
        "what else alarms explains it; else a switch of the version since",
    ),
    ("latency", "p50 and p95 of single searches", "three times the baseline and 20 ms more, twice", "slower"),
)


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    figures = results("monitoring")
    healthy, damage = figures["healthy"], figures["damage"]
    kinds = list(dict.fromkeys(cause for one in damage.values() for cause in one["causes"]))
    return {
        "checks": _CHECKS,
        "kinds": kinds,
        "mixed": round(figures["mix"] * figures["queries_a_look"]),
        "below": [
            (name, f"{one['share']:.1%}", f"{one['low']:.1%} to {one['high']:.1%}")
            for name, one in healthy["below_5_percent"].items()
            if name != "recall"
        ],
        "damage": [
            (
                *(name, str(one["of"]), f"{one['share']:.0%}"),
                f"{one['low']:.1%} to {one['high']:.1%}",
                f"{one['named'] / one['of']:.0%}",
            )
            for name, one in damage.items()
        ],
        "confusion": [(name, *(one["causes"].get(kind, 0) for kind in kinds)) for name, one in damage.items()],
        "weaker": [
            (name, f"{float(share):.0%}", f"{one['share']:.0%}", f"{one['low']:.0%} to {one['high']:.0%}")
            for name, of in figures["weaker"].items()
            for share, one in of.items()
        ],
    }


def draw(figures: Mapping[str, Any]) -> None:
    """The page's pictures, but the one that a look draws itself."""
    IMAGES.mkdir(exist_ok=True)
    _p_values(figures["healthy"]["p"])
    _golden(figures["healthy"]["golden_sums"], figures["series"])
    _detection(figures["damage"])


def _p_values(values: Mapping[str, Sequence[float]]) -> None:
    figure, axes = _figure((7, 4))
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", label="as chance has it")
    colours = {"queries": _BLUE, "documents": _GREEN, "golden": _RED}
    for name, found in values.items():
        colour = colours.get(name.split(":")[0])
        if colour:
            style = ":" if "classifier" in name else "-"
            shares = np.arange(1, len(found) + 1) / len(found)
            axes.step(np.sort(found), shares, style, color=colour, where="post", label=name)
    axes.set_xlabel("p-value")
    axes.set_ylabel("share of healthy looks at or below")
    axes.legend(frameon=False, fontsize=8)
    _save(figure, "monitoring-p-values.png")


def _golden(sums: Sequence[float], series: int) -> None:
    figure, axes = _figure((7, 3))
    each = len(sums) // series
    for number in range(series):
        axes.plot(range(1, each + 1), sums[number * each : (number + 1) * each], color=_BLUE, alpha=0.5, linewidth=1)
    axes.axhline(cusum_limit(0.05), color=_SOFT, linestyle="--", label="limit, were it the only test")
    axes.axhline(cusum_limit(0.05 / 6), color=_RED, linestyle="--", label="limit among six tests")
    axes.set_xlabel("look of a series")
    axes.set_ylabel("falls added up, in sd (CUSUM)")
    axes.legend(frameon=False, fontsize=8)
    _save(figure, "monitoring-golden.png")


def _detection(damage: Mapping[str, Mapping[str, Any]]) -> None:
    figure, axes = _figure((8, 3.6))
    names = list(damage)[::-1]
    for at, name in enumerate(names):
        one = damage[name]
        axes.plot([one["low"], one["high"]], [at, at], color=_BLUE, linewidth=4, alpha=0.4)
        axes.plot([one["share"]], [at], "o", color=_BLUE, label="detected" if at == 0 else None)
        axes.plot([one["named"] / one["of"]], [at], "x", color=_ORANGE, label="right cause" if at == 0 else None)
    axes.axvline(0.95, color=_SOFT, linestyle="--", label="95 %")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(0.85, 1.005)
    axes.set_xlabel("share of looks")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    _save(figure, "monitoring-detection.png")


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.grid(color="#E5E9EE", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Any, name: str) -> None:
    figure.savefig(IMAGES / name, facecolor="white")
