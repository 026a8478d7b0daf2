"""The report of a migration gate, kept with the version: gate.json, and gate.html for people."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from gnomon.core.errors import InvalidInput
from gnomon.core.files import storage_errors, write_atomic
from gnomon.evaluate.plot import plot_differences
from gnomon.html import render
from gnomon.migrate.gate import Gated, Segment

JSON, PAGE = "gate.json", "gate.html"
_STYLES = {"better": "better", "not worse": "better", "worse": "worse", "broken": "worse"}


def write_gate(gated: Gated, folder: Path) -> Path:
    """Write both files into a folder. Returns the JSON's path. Raises StorageError."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / JSON, json.dumps(gated.to_json(), indent=1, ensure_ascii=False))
        write_atomic(folder / PAGE, as_page(gated))
    return folder / JSON


def as_page(gated: Gated) -> str:
    """The page: the outcome first, then what it rests on."""
    png, no_picture = _picture(gated)
    return render(
        "gnomon.migrate",
        "gate.html",
        title=f"Gate: {gated.version} against {gated.baseline}",
        gated=gated,
        outcome_style=_STYLES.get(gated.outcome, ""),
        about=_about(gated),
        differences_png=png,
        no_picture=no_picture,
        segments=[_segment(segment) for segment in gated.segments],
        recall=[(kind, f"{then:.1%}", f"{now:.1%}") for kind, (then, now) in gated.recall.items()],
        costs=_costs(gated),
        changed=_changed(gated),
    )


def _about(gated: Gated) -> list[tuple[str, ...]]:
    # A file of queries is named as its only split is.
    data = ", ".join(dict.fromkeys(part for part in (gated.data["name"], gated.data["split"]) if part))
    rows: list[tuple[str, ...]] = [
        (gated.baseline, f"{gated.spaces[0]}, live"),
        (gated.version, f"{gated.spaces[1]}, the candidate"),
        ("queries", f"{gated.queries:,}: {data}"),
        ("judged", f"{gated.at}, in {gated.seconds:.1f} s"),
    ]
    verdict = gated.verdict
    if verdict is not None:
        low, high = verdict.interval
        rows[3:3] = [
            ("metric", f"{verdict.metric}, a loss of {verdict.margin:g} would be accepted"),
            ("means", f"{verdict.mean_baseline:.4f} and {verdict.mean_candidate:.4f}"),
            (
                "difference",
                f"{verdict.difference:+.4f} ({low:+.4f} to {high:+.4f}, p = {verdict.p_value:.2g})",
            ),
            ("queries better, same, worse", f"{verdict.wins:,}, {verdict.ties:,}, {verdict.losses:,}"),
            ("notes", "; ".join(verdict.notes) or "none"),
        ]
    return rows


def _picture(gated: Gated) -> tuple[bytes, str]:
    """Every query's difference, sorted, as PNG; or why there is none."""
    if gated.verdict is None:
        return b"", ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return plot_differences(gated.verdict, Path(folder) / "differences.png").read_bytes(), ""
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
        f"{outcome}, worse beyond chance" if segment.is_worse else outcome,
    )


def _costs(gated: Gated) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    if gated.latency and all(each.n for each in gated.latency):
        rows = [
            ("search, half are faster", *(f"{1000 * each.p50_s:.1f} ms" for each in gated.latency)),
            ("search, one in twenty is slower", *(f"{1000 * each.p95_s:.1f} ms" for each in gated.latency)),
        ]
    return [
        *rows,
        ("passages", *(f"{size.chunks:,}" for size in gated.size)),
        ("dimensions", *(f"{size.dim:,}" for size in gated.size)),
        ("vectors in the catalog", *(f"{size.vector_bytes / 1e6:,.1f} MB" for size in gated.size)),
        ("indexes", *(f"{size.index_bytes / 1e6:,.1f} MB" for size in gated.size)),
    ]


def _changed(gated: Gated) -> list[tuple[str, ...]]:
    """The queries that changed most, with their texts."""
    if gated.verdict is None:
        return []
    return [
        (
            change.query,
            gated.texts.get(change.query, ""),
            f"{change.baseline:.4f}",
            f"{change.candidate:.4f}",
            f"{change.difference:+.4f}",
        )
        for change in gated.verdict.changed
    ]
