"""The report of a migration gate, kept with the version: gate.json, and gate.html for people."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.core.files import storage_errors, write_atomic
from gnomon.evaluate.plot import plot_differences
from gnomon.html import render
from gnomon.migrate.gate import GateReport, Segment

JSON, PAGE = "gate.json", "gate.html"
_STYLES = {"better": "better", "not worse": "better", "worse": "worse", "broken": "worse"}


def write_report(report: GateReport, folder: Path) -> Path:
    """Write both files into a folder. Returns the JSON's path. Raises StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / JSON, json.dumps(report.to_json(), indent=1, ensure_ascii=False))
        write_atomic(folder / PAGE, report_page(report))
    return folder / JSON


@dataclass(frozen=True)
class SavedGateReport:
    """A gate's report as it is kept: `json` as `GateReport.to_json`, `html` the page for people."""

    json: dict[str, Any]
    html: str


def read_gate_report(collection: str | Path, version: str) -> SavedGateReport | None:
    """The last gate report of a version such as "v2"; None where no gate judged it, or its files are damaged."""
    folder = Path(collection) / "reports" / Path(version).name
    try:
        plain = json.loads((folder / JSON).read_text(encoding="utf-8"))
        return SavedGateReport(dict(plain), (folder / PAGE).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return None


def report_page(report: GateReport) -> str:
    """The page: the outcome first, then its evidence."""
    png, no_picture = _picture(report)
    return render(
        "gnomon.migrate",
        "gate.html",
        title=f"Gate: {report.version} against {report.baseline}",
        report=report,
        outcome_style=_STYLES.get(report.outcome, ""),
        about=_about(report),
        differences_png=png,
        no_picture=no_picture,
        segments=[_segment(segment) for segment in report.segments],
        recall=[(kind, f"{then:.1%}", f"{now:.1%}") for kind, (then, now) in report.recall.items()],
        costs=_costs(report),
        changed=_changed(report),
    )


def _about(report: GateReport) -> list[tuple[str, ...]]:
    # A single file's name is also the name of its only split.
    data = ", ".join(dict.fromkeys(part for part in (report.data["name"], report.data["split"]) if part))
    rows: list[tuple[str, ...]] = [
        (report.baseline, f"{report.spaces[0]}, live"),
        (report.version, f"{report.spaces[1]}, the candidate"),
        ("queries", f"{report.queries:,}: {data}"),
        ("judged", f"{report.at}, in {report.seconds:.1f} s"),
    ]
    verdict = report.verdict
    if verdict is not None:
        low, high = verdict.interval
        rows[3:3] = [
            ("metric", f"{verdict.metric}, accepted loss {verdict.margin:g}"),
            ("means", f"{verdict.mean_baseline:.4f} and {verdict.mean_candidate:.4f}"),
            (
                "difference",
                f"{verdict.difference:+.4f} ({low:+.4f} to {high:+.4f}, p = {verdict.p_value:.2g})",
            ),
            ("queries better, same, worse", f"{verdict.wins:,}, {verdict.ties:,}, {verdict.losses:,}"),
            ("notes", "; ".join(verdict.notes) or "none"),
        ]
    return rows


def _picture(report: GateReport) -> tuple[bytes, str]:
    """Every query's difference, sorted, as PNG; or why there is none."""
    if report.verdict is None:
        return b"", ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return plot_differences(report.verdict, Path(folder) / "differences.png").read_bytes(), ""
        except InvalidInput as error:
            return b"", f"No picture of the differences: {error.message} ({error.hint})."


def _segment(segment: Segment) -> tuple[str, ...]:
    interval = "" if segment.interval is None else "{:+.4f} to {:+.4f}".format(*segment.interval)
    outcome = "too few queries" if segment.outcome is None else segment.outcome
    return (
        segment.name,
        f"{segment.n:,}",
        f"{segment.mean_baseline:.4f}",
        f"{segment.mean_candidate:.4f}",
        f"{segment.difference:+.4f}",
        interval,
        f"{outcome}, significantly worse" if segment.is_worse else outcome,
    )


def _costs(report: GateReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if report.latency and all(each.n for each in report.latency):
        rows = [
            ("search, median", *(f"{1000 * each.p50_s:.1f} ms" for each in report.latency)),
            ("search, 95th percentile", *(f"{1000 * each.p95_s:.1f} ms" for each in report.latency)),
        ]
    return [
        *rows,
        ("passages", *(f"{size.chunks:,}" for size in report.size)),
        ("dimensions", *(f"{size.dim:,}" for size in report.size)),
        ("vectors in the catalog", *(f"{size.vector_bytes / 1e6:,.1f} MB" for size in report.size)),
        ("indexes", *(f"{size.index_bytes / 1e6:,.1f} MB" for size in report.size)),
    ]


def _changed(report: GateReport) -> list[tuple[str, ...]]:
    """The queries that changed most, with their texts."""
    if report.verdict is None:
        return []
    return [
        (
            change.query,
            report.texts.get(change.query, ""),
            f"{change.baseline:.4f}",
            f"{change.candidate:.4f}",
            f"{change.difference:+.4f}",
        )
        for change in report.verdict.changed
    ]
