"""What docs/embedding-adapter.md is made of besides results/adapter.json, and its picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Okabe and Ito: told apart by colour-blind eyes too.
_COLOURS = {"hot": "#D55E00", "random": "#0072B2", "naive": "#999999", "old": "#222222"}
ORDERS = {
    "hot": "adapter, most-searched first",
    "random": "adapter, any order",
    "naive": "no adapter: both models' vectors in one index",
}


def context(_: Callable[[str], Any]) -> dict[str, Any]:
    """The orders of re-embedding, by what they are called."""
    return {"orders": ORDERS}


def draw(sets: Mapping[str, Any], path: Path) -> None:
    """Quality against the share that is re-embedded."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(sets), 7), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(sets), squeeze=False)
    for column, (name, one) in enumerate(sets.items()):
        share = [100 * value for value in one["shares"]]
        for row, (values, old, new, title) in enumerate(
            [
                (one["asked"], one["old_asked"], one["new_asked"], "all queries, as often as asked"),
                (one["tenth"], one["tenth"]["old"], one["tenth"]["new"], "the most-asked tenth"),
            ]
        ):
            axes = panels[row][column]
            axes.plot([0, 100, 100], [old, old, new], "--", color=_COLOURS["old"], label="old version until done")
            for key, label in ORDERS.items():
                axes.plot(share, values[key], "o-", color=_COLOURS[key], label=label, markersize=4)
            axes.set_title(f"{name}: {title}", fontsize=10)
            axes.set_ylim(bottom=0)
            axes.set_xlabel("re-embedded, %")
            axes.set_ylabel("nDCG@10")
            axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(frameon=False, fontsize=8, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
