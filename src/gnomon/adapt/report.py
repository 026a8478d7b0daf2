"""The report of adapting, beside the collection: adapt.json, and adapt.html for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gnomon.adapt.decision import Estimate
from gnomon.adapt.settings import AdaptReport
from gnomon.core.files import storage_errors, write_atomic
from gnomon.html import render

JSON, PAGE = "adapt.json", "adapt.html"
_SHOWN = 15
_WIDTH, _ROW, _LABELS = 860, 26, 330
"""Pixels of the picture of all candidates: its width, the height of a row, and what the names take."""


def write_report(report: AdaptReport, folder: Path) -> AdaptReport:
    """Write both files into a folder. Returns the report with the page's path. Raises StorageError."""
    report = replace(report, report=folder / PAGE)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / JSON, json.dumps(report.to_json(), indent=1, ensure_ascii=False))
        write_atomic(folder / PAGE, report_page(report))
    return report


def report_page(report: AdaptReport) -> str:
    """The page: the outcome and the commands first, then every candidate, then the queries."""
    return render(
        "gnomon.adapt",
        "adapt.html",
        title=f"Adapting {Path(report.collection).name}",
        report=report,
        outcome_style="" if report.outcome == "declined" else "better",
        about=_about(report),
        plot=_plot(report.estimates, report.chosen),
        candidates=[_row(one, one is report.chosen) for one in report.estimates],
        costs=_costs(report),
        better=_changed(report, 1),
        worse=_changed(report, -1),
        skipped=sorted(report.skipped.items()),
    )


def _about(report: AdaptReport) -> list[tuple[str, ...]]:
    low, high = report.gain_interval
    rows: list[tuple[str, ...]] = [
        ("collection", report.collection),
        ("judgments", f"{report.judgments}: {report.queries:,} queries"),
        ("before", f"{report.baseline}: {report.metric} {report.mean_baseline:.4f}"),
    ]
    if (one := report.chosen) is not None:
        low_one, high_one = one.interval
        rows += [
            ("after", f"{one.candidate.name}: {report.metric} {one.mean:.4f}"),
            ("difference", f"{one.difference:+.4f} ({low_one:+.4f} to {high_one:+.4f}, p = {one.p_value:.2g})"),
            ("to be expected", f"{one.expected:+.4f}, better with a chance of {one.chance}"),
        ]
    if report.estimates:
        rows.append(
            ("choosing itself", f"{report.gain:+.4f} ({low:+.4f} to {high:+.4f}) on queries that had no part in it")
        )
    return [*rows, ("took", f"{report.seconds:,.0f} s")]


def _row(one: Estimate, is_chosen: bool) -> tuple[str, ...]:
    low, high = one.interval
    return (
        f"{one.candidate.name} (chosen)" if is_chosen else one.candidate.name,
        f"{one.mean:.4f}",
        f"{one.difference:+.4f}",
        f"{low:+.4f} to {high:+.4f}",
        f"{one.p_value:.2g}",
        f"{one.wins} / {one.losses}",
        f"{one.expected:+.4f}",
        one.chance,
        f"{one.seconds:.1f}",
    )


def _costs(report: AdaptReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if report.latency_ms is not None:
        rows.append(("search, median", *(f"{each:.1f} ms" for each in report.latency_ms)))
    if report.bytes is not None:
        rows.append(("vectors and indexes", *(f"{each / 1e6:,.1f} MB" for each in report.bytes)))
    return rows


def _changed(report: AdaptReport, sign: int) -> list[tuple[str, ...]]:
    """The queries that gained (1) or lost (-1) most, with their texts."""
    moved = [change for change in report.changes if change.difference * sign > 0]
    return [
        (
            change.query,
            report.texts.get(change.query, ""),
            f"{change.baseline:.4f}",
            f"{change.candidate:.4f}",
            f"{change.difference:+.4f}",
        )
        for change in moved[:_SHOWN]
    ]


@dataclass(frozen=True)
class PlotRow:
    """A candidate in the picture: pixels."""

    name: str
    y: int
    low: float
    high: float
    mean: float
    expected: float
    style: str


@dataclass(frozen=True)
class Plot:
    """Every candidate's difference with its interval, in pixels; `ticks` are positions with their labels."""

    width: int
    height: int
    zero: float
    labels: int
    rows: tuple[PlotRow, ...]
    ticks: tuple[tuple[float, str], ...]


def _plot(estimates: Sequence[Estimate], chosen: Estimate | None) -> Plot | None:
    if not estimates:
        return None
    ends = [end for one in estimates for end in one.interval]
    low, high = min(*ends, 0.0), max(*ends, 0.0)
    span = max(high - low, 1e-6)

    def x(value: float) -> float:
        return round(_LABELS + (value - low) / span * (_WIDTH - _LABELS - 20), 1)

    rows = tuple(
        PlotRow(
            name=one.candidate.name,
            y=_ROW * at + _ROW // 2,
            low=x(one.interval[0]),
            high=x(one.interval[1]),
            mean=x(one.difference),
            expected=x(one.expected),
            style="chosen" if one is chosen else "other",
        )
        for at, one in enumerate(estimates)
    )
    step = next(step for step in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if span / step <= 8 or step == 1.0)
    first = int(low / step)
    ticks = tuple(
        (x(at * step), f"{at * step:+.2f}") for at in range(first, int(high / step) + 1) if low <= at * step <= high
    )
    return Plot(_WIDTH, _ROW * len(rows) + 34, x(0.0), _LABELS, rows, ticks)
