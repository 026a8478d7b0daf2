"""The cost curves as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Okabe and Ito: told apart by colour-blind eyes too.
_BLUE, _ORANGE, _INK, _SOFT = "#0072B2", "#D55E00", "#222222", "#767676"
_Line = tuple[str, str, Sequence[float]]


def plot(cases: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Four panels over the number of vectors, both axes logarithmic; full precision only."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = [case for case in cases if case["rows"] == "float32"]
    counts = [size["vectors"] for size in sizes]
    panels: list[tuple[str, list[_Line]]] = [
        ("Build, seconds", [(_BLUE, "", [size["build_s"] for size in sizes])]),
        (
            "One query on one thread, median ms",
            [
                (_BLUE, "10 results", [size["query_ms"]["k_10"]["p50"] for size in sizes]),
                (_ORANGE, "1,000 results", [size["query_ms"]["k_1000"]["p50"] for size in sizes]),
            ],
        ),
        (
            "Memory, MiB",
            [
                (_BLUE, "searching, without mapped files", [size["search_own_mib"] for size in sizes]),
                (_ORANGE, "building, peak, mapped files too", [size["build_peak_mib"] for size in sizes]),
            ],
        ),
        ("Disk, MiB", [(_BLUE, "", [size["disk_mib"] for size in sizes])]),
    ]
    figure = Figure(figsize=(9, 6.4), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, lines) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        _panel(axes, title, counts, lines=lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def _panel(axes: Any, title: str, counts: Sequence[int], *, lines: Sequence[_Line]) -> None:
    for number, (colour, label, values) in enumerate(lines):
        axes.plot(counts, values, "o-", color=colour, label=label, linewidth=2)
        # The lower line comes first; its figures stand below it, or they would meet the other's.
        side = -16 if number == 0 and len(lines) > 1 else 9
        for count, value in zip(counts, values, strict=True):
            text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            axes.annotate(text, (count, value), (0, side), textcoords="offset points", ha="center",
                          color=colour, fontsize=9)  # fmt: skip
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper left")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.margins(0.12, 0.3)
    axes.set_title(title, loc="left", color=_INK, fontsize=11)
    axes.set_xlabel("vectors", color=_SOFT)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
