"""The report of a run: report.json, and report.html with its curves."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.core.errors import InvalidInput
from gnomon.train.loop import LOG, read_log

if TYPE_CHECKING:
    from gnomon.train.fitting import FitReport
    from gnomon.train.gains import Gain

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1d2733}
body{max-width:58rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}
td,th{padding:.25rem .9rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #e3e8ee}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}code,pre{font:13px/1.45 monospace}
pre{background:#f5f7fa;padding:1rem;overflow:auto}"""


def write_report(report: FitReport, folder: Path) -> None:
    """Both files, each written beside and renamed."""
    rows = read_log(folder / LOG) if (folder / LOG).is_file() else []
    for name, text in (
        ("report.json", json.dumps(report.to_json(), indent=1, ensure_ascii=False)),
        ("report.html", as_html(report, rows, seen=seen_in(report, folder))),
    ):
        beside = folder / f"{name}.new"
        beside.write_text(text, encoding="utf-8")
        beside.replace(folder / name)


def seen_in(report: FitReport, folder: Path) -> str:
    """What training did to a few texts: map and curve, drawn beside the report too, the map also as a GIF."""
    from gnomon.train.seen import FILE, read_seen

    seen = read_seen(folder / FILE)
    if seen is None or report.end == "interrupted" or not report.recipe["dev"]["map"]:
        return ""
    try:
        from gnomon.train.seen_plot import draw_animation, draw_curve, draw_map

        pictures = draw_map(seen, folder / "seen.png"), draw_curve(seen, folder / "alignment.png")
        draw_animation(seen, folder / "seen.gif")
    except InvalidInput:
        return ""  # without matplotlib; what is said of the curves says so
    names = "texts before, during and after", "alignment and uniformity over the steps"
    shown = (_image(path.read_bytes(), name) for path, name in zip(pictures, names, strict=True))
    said = "A few texts on one plane, before, during and after; seen.gif, beside this page, shows them move."
    return f"<h2>What training did to a few texts</h2><p>{said}</p>{''.join(shown)}"


def as_html(report: FitReport, rows: Sequence[dict[str, Any]], *, seen: str = "") -> str:
    """One page that needs nothing else. `seen` is the part of `seen_in`."""
    ends = {"done": "ran to its end", "early": "ended early", "interrupted": "was interrupted"}
    about = [
        ("model", report.folder),
        ("kind", report.kind),
        ("run", f"{report.steps:,} steps, {report.examples:,} examples; it {ends[report.end]}"),
        (
            "time in steps",
            f"{report.seconds:,.0f} s, {report.examples / max(report.seconds, 1e-9):.1f} examples/s",
        ),
        ("precision", report.precision),
        ("weights kept", "the last" if report.best < 0 else f"of step {report.best:,}, the best look"),
        ("space", "none" if report.space is None else str(report.space["fingerprint"])),
    ]
    checked = json.dumps(report.data["checked"], indent=1, ensure_ascii=False)[:20_000]
    parts = [
        "<h1>Training report</h1>",
        _table(about),
        "<h2>What it gained</h2>",
        _gains(report.gains),
        _curves(report, rows),
        seen,
        "<h2>Data</h2>",
        _table([(name, digest) for name, digest in report.data["digests"].items()]),
        f"<pre>{html.escape(checked)}</pre>",
        f"<h2>Recipe</h2><pre>{html.escape(json.dumps(report.recipe, indent=1))}</pre>",
    ]
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Training report</title>'
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(str(b))}</td></tr>" for a, b in rows)
    return f"<table>{cells}</table>"


def _gains(gains: Sequence[Gain]) -> str:
    if not gains:
        return "<p>No dev or test set was given: nothing is known of the gain.</p>"
    head = "".join(f"<th>{t}</th>" for t in ("set", "metric", "start", "trained", "difference", "verdict"))
    rows = "".join(_gain(one) for one in gains)
    chosen = (
        "<p>The weights kept are those of the best look at the dev sets, so their figures are a little too "
        "good; a test set, looked at once, has no such bias.</p>"
    )
    return f"<table><tr>{head}</tr>{rows}</table>{chosen}"


def _gain(one: Gain) -> str:
    low, high, said = one.low, one.high, ""
    if one.verdict is not None:
        (low, high), said = one.verdict["interval"], str(one.verdict["outcome"])
    interval = "" if low is None or high is None else f" [{low:+.4f}, {high:+.4f}]"
    figures = "".join(f'<td class="n">{value:.4f}</td>' for value in (one.start, one.end))
    difference = f'<td class="n">{one.end - one.start:+.4f}{interval}</td>'
    name = html.escape(f"{one.name} ({one.split})")
    return f"<tr><td>{name}</td><td>{html.escape(one.metric)}</td>{figures}{difference}<td>{said}</td></tr>"


def _curves(report: FitReport, rows: Sequence[dict[str, Any]]) -> str:
    """Loss, learning rate and looks against steps; nothing without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return "<p>Curves need matplotlib: pip install 'gnomon[plot]'.</p>"
    steps = [row for row in rows if "loss" in row]
    if not steps:
        return ""
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    at, losses = [row["step"] for row in steps], [row["loss"] for row in steps]
    above.plot(at, losses, color="#b9c6d6", linewidth=0.8)
    above.plot(at, _smooth(losses), color="#1f5fa8", label="loss, smoothed")
    above.set_ylabel("loss")
    rate = above.twinx()
    rate.plot(at, [row["lr"] for row in steps], color="#c98a1b", linewidth=1, linestyle="--")
    rate.set_ylabel("learning rate")
    above.legend(loc="upper right", frameon=False)
    below.plot(*zip(*report.looks, strict=True), "o-", color="#1f5fa8") if report.looks else None
    below.set_ylabel("dev figure")
    below.set_xlabel("step")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return f"<h2>Curves</h2>{_image(buffer.getvalue(), 'loss, learning rate and dev figure')}"


def _image(png: bytes, name: str) -> str:
    return f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _smooth(values: Sequence[float], share: float = 0.05) -> list[float]:
    found, mean = [], values[0]
    for value in values:
        mean += share * (value - mean)
        found.append(mean)
    return found
