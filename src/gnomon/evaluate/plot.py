"""Plots: every query's difference in a verdict, sorted; quality against cost of several systems."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gnomon.core.errors import InvalidInput, missing_extra
from gnomon.evaluate.comparison import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's blue and vermilion: distinct for colour-blind readers too.
_WIN, _LOSS, _INK, _SOFT = "#0072B2", "#D55E00", "#222222", "#767676"
_FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class ParetoPoint:
    """A system in `plot_pareto`: what a query costs, its quality with an interval, and whether no other beats it."""

    name: str
    cost: float
    quality: float
    interval: tuple[float, float]
    on_front: bool


def plot_differences(verdict: Verdict, path: str | Path) -> Path:
    """Draw the per-query differences, sorted, with their mean, its interval and the margin.

    The suffix decides the format: .png, .svg or .pdf. Raises InvalidInput for another one, for a verdict that
    holds no per-query values, and when matplotlib is not installed.
    """
    path = _checked(path)
    if not verdict.changes:
        raise InvalidInput("a verdict without per-query values", expected="one that compare or judge returned")
    figure = _figure()
    bars, strip = figure.subplots(2, 1, height_ratios=[8, 1])
    _bars(bars, verdict)
    _text(bars, verdict)
    _strip(strip, verdict)
    return _saved(figure, path)


def plot_pareto(points: Sequence[ParetoPoint], path: str | Path, *, cost: str, quality: str) -> Path:
    """Draw quality against cost: a point a system with its interval, those that no other beats joined by steps.

    `cost` and `quality` name the axes; costs are on a logarithmic scale where all are above 0. Raises InvalidInput as
    `plot_differences` does, and without a point.
    """
    path = _checked(path)
    if not points:
        raise InvalidInput("no systems to plot", expected="at least one")
    figure = _figure()
    axes = figure.subplots()
    front = sorted((point for point in points if point.on_front), key=lambda point: point.cost)
    axes.step([p.cost for p in front], [p.quality for p in front], where="post", color=_WIN, linewidth=1.2, alpha=0.6)
    for point in points:
        colour = _WIN if point.on_front else _SOFT
        axes.plot([point.cost] * 2, point.interval, color=colour, linewidth=4, alpha=0.35, solid_capstyle="butt")
        axes.plot([point.cost], [point.quality], "o", color=colour, markersize=8)
        axes.annotate(
            point.name, (point.cost, point.quality), xytext=(9, 5), textcoords="offset points", color=_INK, fontsize=10
        )
    if all(point.cost > 0 for point in points):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        low, high = axes.get_xlim()
        axes.xaxis.set_minor_formatter("{x:g}" if high < 12 * low else "")  # over decades they would run together
    axes.margins(x=0.15)
    axes.set_xlabel(f"{cost}; blue: no other is better in both", color=_INK)
    axes.set_ylabel(quality, color=_INK)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    _style(axes, ("left", "bottom"))
    return _saved(figure, path)


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise InvalidInput(f"a plot named {path.name}", expected=f"a name ending in {', '.join(_FORMATS)}")
    return path


def _figure() -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("matplotlib", extra="plot") from error
    figure = Figure(figsize=(9, 5.6), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _saved(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white", bbox_inches="tight", pad_inches=0.2)
    return path


def _bars(axes: Axes, verdict: Verdict) -> None:
    """Steps, not bars: thirteen thousand of them are one shape."""
    differences = np.sort([change.difference for change in verdict.changes])[::-1]
    edges = np.arange(len(differences) + 1)
    heights = np.append(differences, differences[-1])
    for colour, part in ((_WIN, np.maximum(heights, 0)), (_LOSS, np.minimum(heights, 0))):
        axes.fill_between(edges, part, step="post", color=colour, alpha=0.85, linewidth=0)
    largest = float(np.abs(differences).max())
    reach = 1.1 * max(largest, 0.01)
    axes.set_ylim(-reach, reach)
    axes.set_xlim(0, len(differences))
    axes.axhline(0, color=_SOFT, linewidth=0.8)
    axes.set_ylabel(f"difference in {verdict.metric}", color=_INK)
    axes.set_xlabel(f"{verdict.n:,} queries, sorted by difference", color=_INK, labelpad=24)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.6)
    _style(axes, ("left", "bottom"))


def _strip(axes: Axes, verdict: Verdict) -> None:
    """What decides, on its own scale: the interval of the mean against 0 and the margin."""
    low, high = verdict.interval
    colour = {"better": _WIN, "worse": _LOSS}.get(verdict.outcome, _INK)
    axes.plot([low, high], [0, 0], color=colour, linewidth=5, solid_capstyle="butt", alpha=0.45)
    axes.plot([verdict.difference], [0], "o", color=colour, markersize=8)
    axes.axvline(0, color=_SOFT, linewidth=1)
    axes.axvline(-verdict.margin, color=_INK, linewidth=1.1, linestyle=(0, (4, 3)))
    ends = (low, high, -verdict.margin, 0.0)
    margin = 0.1 * (max(ends) - min(ends))
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    text = f"mean difference and its interval; dashed: the margin, a loss of {verdict.margin:g}"
    axes.set_xlabel(text, color=_INK)
    _style(axes, ("bottom",))


def _text(axes: Axes, verdict: Verdict) -> None:
    """The verdict above, the counts below."""
    figures = textwrap.wrap(verdict.figures, 125)
    headline = "\n".join(textwrap.wrap(verdict.headline, 75))
    above = 8 + 12 * len(figures)
    axes.set_title(headline, fontsize=13, fontweight="bold", color=_INK, loc="left", pad=above + 6)
    axes.annotate(
        "\n".join(figures),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 8),
        textcoords="offset points",
        fontsize=9,
        color=_SOFT,
    )
    counts = ((verdict.wins, "better", _WIN), (verdict.ties, "same", _SOFT), (verdict.losses, "worse", _LOSS))
    start = 0
    for count, word, colour in counts:
        # A section too narrow for its label has none: the axis still shows it.
        if count > 0.07 * verdict.n:
            axes.text(
                start + count / 2,
                -0.045,
                f"{count:,} {word}",
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="top",
                color=colour,
                fontsize=10,
                fontweight="bold",
            )
        start += count
    axes.set_xticks([0, verdict.wins, verdict.wins + verdict.ties, verdict.n], labels=[""] * 4)


def _style(axes: Axes, shown: tuple[str, ...]) -> None:
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in shown)
        spine.set_color("#BBBBBB")
