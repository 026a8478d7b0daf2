"""The report of a gate, kept with the version: gate.json, and gate.html, a page that needs nothing else."""

from __future__ import annotations

import base64
import html
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gnomon.collection.catalog.connection import explained
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.plot import plot_differences
from gnomon.migrate.gate import Gated, Segment
from gnomon.migrate.state import write_whole

JSON, PAGE = "gate.json", "gate.html"
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1d2733}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}
td,th{padding:.25rem .9rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #e3e8ee}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}img{max-width:100%}
td.text{min-width:16rem}div.wide{overflow-x:auto}
p.outcome{font-size:1.1rem;padding:.6rem 1rem;border-left:4px solid #767676;background:#f5f7fa}
p.better,p.not-worse{border-color:#0072B2}p.worse,p.broken{border-color:#D55E00}.bad{color:#B54300}"""


def write_gate(gated: Gated, folder: Path) -> Path:
    """Both files, each put in its place whole. Returns the JSON's path. Raises StorageError."""
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / JSON, json.dumps(gated.to_json(), indent=1, ensure_ascii=False))
        write_whole(folder / PAGE, as_page(gated))
    return folder / JSON


def as_page(gated: Gated) -> str:
    """One page: the outcome first, then what it rests on."""
    title = f"Gate: {gated.version} against {gated.baseline}"
    parts = [
        f"<h1>{_safe(title)}</h1>",
        f'<p class="outcome {gated.outcome.replace(" ", "-")}">{_safe(gated.explained)}</p>',
        _table(("", ""), _about(gated)),
        _picture(gated),
        _segments(gated.segments),
        _recall(gated),
        "<h2>Beside quality</h2><p>Searches are timed one by one, in turn, in the process that builds.</p>",
        _table(("", gated.baseline, gated.version), _costs(gated), numbers=(1, 2)),
        _changed(gated),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_safe(title)}</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
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


def _picture(gated: Gated) -> str:
    """Every query's difference, sorted; without matplotlib a line that says so."""
    if gated.verdict is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        try:
            png = plot_differences(gated.verdict, Path(folder) / "differences.png").read_bytes()
        except InvalidInput as error:
            return f"<p>No picture of the differences: {_safe(error.message)} ({_safe(error.hint)}).</p>"
    data = base64.b64encode(png).decode()
    return f'<p><img alt="differences by query" src="data:image/png;base64,{data}"></p>'


def _segments(segments: Sequence[Segment]) -> str:
    if not segments:
        return ""
    head = ("segment", "queries", "live", "candidate", "difference", "interval", "outcome")
    rows = []
    for segment in segments:
        low_high = "" if segment.interval is None else "{:+.4f} to {:+.4f}".format(*segment.interval)
        outcome = "too few queries" if segment.outcome is None else segment.outcome
        rows.append(
            (
                segment.name,
                f"{segment.n:,}",
                f"{segment.mean_baseline:.4f}",
                f"{segment.mean_candidate:.4f}",
                f"{segment.difference:+.4f}",
                low_high,
                f"{outcome}, worse beyond chance" if segment.is_worse else outcome,
            )
        )
    said = "<p>Intervals are corrected for the number of segments; a query may be in several.</p>"
    return f"<h2>By segment</h2>{said}{_table(head, rows, numbers=(1, 2, 3, 4, 5))}"


def _recall(gated: Gated) -> str:
    if not gated.recall:
        return ""
    rows = [(kind, f"{then:.1%}", f"{found:.1%}") for kind, (then, found) in gated.recall.items()]
    head = ("queries made from", f"source among {gated.baseline}'s first ten", f"among {gated.version}'s")
    alarms = "".join(f'<p class="bad">{_safe(str(alarm))}</p>' for alarm in gated.alarms)
    return f"<h2>Does it find what it holds?</h2>{_table(head, rows, numbers=(1, 2))}{alarms}"


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


def _changed(gated: Gated) -> str:
    if gated.verdict is None or not gated.verdict.changed:
        return ""
    rows = [
        (
            change.query,
            gated.texts.get(change.query, ""),
            f"{change.baseline:.4f}",
            f"{change.candidate:.4f}",
            f"{change.difference:+.4f}",
        )
        for change in gated.verdict.changed
    ]
    head = ("query", "text", gated.baseline, gated.version, "difference")
    return f"<h2>Queries that changed most</h2>{_table(head, rows, numbers=(2, 3, 4), text=1)}"


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    numbers: Sequence[int] = (),
    text: int | None = None,
) -> str:
    """Columns of numbers stand to the right; one of long text is not squeezed: a small screen scrolls."""

    def cells(row: Sequence[str], tag: str) -> str:
        kinds = [" class=n" if at in numbers else " class=text" if at == text else "" for at in range(len(row))]
        return "".join(f"<{tag}{kind}>{_safe(cell)}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    above = f"<tr>{cells(head, 'th')}</tr>" if any(head) else ""
    below = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table>{above}{below}</table></div>'


def _safe(text: str) -> str:
    return html.escape(text)
