"""A monitoring report as an HTML page, with charts."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gnomon.collection.catalog.sqlite import translated_errors
from gnomon.core.files import write_atomic
from gnomon.html import render
from gnomon.kernels.drift import cusum_limit
from gnomon.monitor.report import MonitorReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Okabe and Ito's colours, which colour-blind people can distinguish.
_BLUE, _RED, _GREEN, _ORANGE, _SOFT = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#9AA5B1"
_TESTS = {
    "queries: MMD": (_BLUE, "o"),
    "queries: classifier": (_BLUE, "x"),
    "documents: MMD": (_GREEN, "o"),
    "documents: classifier": (_GREEN, "x"),
    "recall": (_ORANGE, "s"),
    "golden: CUSUM": (_RED, "^"),
}
_LIMIT = "limit where all six tests are done"
MAX_RUNS = 100
"""Runs that are drawn."""


def has_matplotlib() -> bool:
    """Whether charts can be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def charts(report: MonitorReport) -> dict[str, bytes]:
    """The charts as PNG by name; without those that have nothing to show."""
    runs = _of_baseline(report.history)[-MAX_RUNS:]
    found = {}
    if any(run.get("golden") for run in runs):
        found["golden queries"] = _png(_golden(runs, report.false_alarms))
    if any(run.get("p") for run in runs):
        found["tests over the runs"] = _png(_p_values(runs, report.false_alarms))
    if report.maps:
        found["drift"] = _png(_maps(report))
    if sum(bool(run.get("latency")) for run in runs) > 1:
        found["latency"] = _png(_latency(runs))
    return found


def _of_baseline(history: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The runs with the present baseline: others are not comparable."""
    return [run for run in history if run.get("baseline") == history[-1].get("baseline")]


def _figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False)


def _golden(runs: Sequence[Mapping[str, Any]], share: float) -> Figure:
    """Above, the mean of each run; below, the sum of falls with its limit."""
    figure, axes = _figure(2, 1, (9, 4.6))
    kept = [(at, run["golden"], run) for at, run in enumerate(runs, start=1) if run.get("golden")]
    above, below = axes[0][0], axes[1][0]
    numbers = [at for at, _, _ in kept]
    above.plot(numbers, [one["mean"] for _, one, _ in kept], "o-", color=_BLUE, markersize=4)
    above.plot(numbers, [one["base"] for _, one, _ in kept], "--", color=_SOFT, label="baseline")
    above.set_ylabel("mean of the golden queries")
    above.legend(frameon=False, loc="lower left")
    limit = cusum_limit(share / len(_TESTS))
    below.plot(numbers, [one["sum"] for _, one, _ in kept], "o-", color=_RED, markersize=4)
    below.axhline(limit, color=_SOFT, linestyle="--", label=_LIMIT)
    alarms = [(at, one["sum"]) for at, one, run in kept if run.get("states", {}).get("golden") == "alarm"]
    if alarms:
        below.plot(*zip(*alarms, strict=True), "o", color=_RED, markersize=9, markerfacecolor="none")
    below.set_ylabel("falls added up, in sd (CUSUM)")
    below.set_xlabel("run")
    below.legend(frameon=False, loc="upper left")
    for each in (above, below):
        _quiet(each)
    return figure


def _p_values(runs: Sequence[Mapping[str, Any]], share: float) -> Figure:
    figure, axes = _figure(1, 1, (9, 3.4))
    own = axes[0][0]
    for place, (name, (colour, mark)) in enumerate(_TESTS.items()):
        beside = 0.05 * (place - len(_TESTS) / 2)  # those of the same p-value do not cover each other
        points = [(at, run["p"][name]) for at, run in enumerate(runs, start=1) if name in run.get("p", {})]
        if points:
            numbers, values = zip(*points, strict=True)
            own.plot(
                np.array(numbers) + beside,
                np.maximum(values, 1e-6),
                mark,
                color=colour,
                label=name,
                markersize=5,
            )
    own.axhline(share / len(_TESTS), color=_SOFT, linestyle="--", label=_LIMIT)
    own.set_yscale("log")
    own.set_ylabel("p-value")
    own.set_xlabel("run")
    own.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _quiet(own)
    return figure


def _maps(report: MonitorReport) -> Figure:
    figure, axes = _figure(1, len(report.maps), (4.5 * len(report.maps), 3.8))
    for own, (name, points) in zip(axes[0], report.maps.items(), strict=True):
        own.scatter(*points.before.T, s=9, color=_SOFT, label="baseline", alpha=0.7, linewidths=0)
        is_alarm = report.check(name).state == "alarm"
        colour = _RED if is_alarm else _BLUE
        own.scatter(*points.now.T, s=9, color=colour, label="now", alpha=0.6, linewidths=0)
        own.set_title(f"{name}: {'changed' if is_alarm else 'no change beyond chance'}", fontsize=10)
        own.set_xlabel("where the means differ")
        own.set_ylabel("widest spread besides")
        own.legend(frameon=False, fontsize=8)
        _quiet(own, runs=False)
    return figure


def _latency(runs: Sequence[Mapping[str, Any]]) -> Figure:
    figure, axes = _figure(1, 1, (9, 2.8))
    own = axes[0][0]
    kept = [(at, run["latency"]) for at, run in enumerate(runs, start=1) if run.get("latency")]
    for name, colour in (("p50", _BLUE), ("p95", _ORANGE)):
        own.plot(
            [at for at, _ in kept],
            [one[name] for _, one in kept],
            "o-",
            color=colour,
            label=name,
            markersize=4,
        )
    own.set_ylim(bottom=0)
    own.set_ylabel("search, ms")
    own.set_xlabel("run")
    own.legend(frameon=False)
    _quiet(own)
    return figure


def _quiet(axes: Axes, *, runs: bool = True) -> None:
    if runs:
        from matplotlib.ticker import MaxNLocator

        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        low, high = axes.get_xlim()
        if high - low < 1:  # a single run: the axis would show fractions
            axes.set_xlim(round(low) - 0.5, round(high) + 0.5)
    axes.grid(axis="y", color="#E5E9EE", linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


_SHOWN_RUNS = 30
_CHART_TEXTS = {
    "golden queries": "Above, the mean of the golden queries and their baseline in each run; below, their falls "
    "added up, with the limit of an alarm",
    "tests over the runs": "The p-values of all tests in each run, with the limit of an alarm",
    "drift": "The vectors of the baseline and of now, on the plane where they differ most",
    "latency": "The median and the 95th percentile of search times in each run",
}


def write_page(report: MonitorReport, path: str | Path) -> Path:
    """Write the page. Raises StorageError."""
    path = Path(path).expanduser()
    with translated_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, as_html(report))
    return path


def as_html(report: MonitorReport) -> str:
    """The page: alarms with their causes, a row for each check, charts, the last runs."""
    healthy = "No alarm" if report.is_healthy else "Alarm: " + ", ".join(alarm.cause for alarm in report.alarms)
    baseline = f"baseline of {report.baseline}" if report.baseline else "no baseline"
    return render(
        "gnomon.monitor",
        "report.html",
        title="gnomon monitor",
        heading=healthy,
        report=report,
        baseline="this run is the baseline" if report.took_baseline else baseline,
        charts=charts(report) if has_matplotlib() else None,
        chart_texts=_CHART_TEXTS,
        history=[_history_row(run) for run in report.history[-_SHOWN_RUNS:][::-1]],
    )


def _history_row(run: Mapping[str, Any]) -> tuple[str, ...]:
    golden, latency = run.get("golden") or {}, run.get("latency") or {}
    return (
        str(run["at"]),
        str(run.get("version", "")),
        ", ".join(run.get("causes") or ()) or "none",
        f"{golden['mean']:.3f}" if golden else "",
        f"{latency['p50']:.0f} / {latency['p95']:.0f}" if latency else "",
    )
