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
from gnomon.train.recipe.recipe import to_toml

if TYPE_CHECKING:
    from gnomon.train.fit import FitReport
    from gnomon.train.report.gains import Gain

_STYLE = """body{font:15px/1.5 system-ui,sans-serif;color:#1d2733}
body{max-width:58rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse}
td,th{padding:.25rem .9rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #e3e8ee}
td.n{text-align:right;font-variant-numeric:tabular-nums}img{max-width:100%}code,pre{font:13px/1.45 monospace}
td.d{font:11px/1.5 monospace;word-break:break-all}pre{background:#f5f7fa;padding:1rem;overflow:auto}"""


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
    from gnomon.train.report.embedding_map import FILE, read_seen

    seen = read_seen(folder / FILE)
    if seen is None or report.end == "interrupted" or not report.recipe["dev"]["map"]:
        return ""
    try:
        from gnomon.train.report.map_plot import draw_animation, draw_curve, draw_map

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
    parts = [
        "<h1>Training report</h1>",
        _table(_about(report)),
        "<h2>What it gained</h2>",
        _gains(report),
        _curves(report, rows),
        seen,
        "<h2>Data</h2>",
        _data(report),
        "<h2>Recipe</h2><p>All settings, defaults included: a file for <code>gnomon train</code>.</p>",
        f"<pre>{html.escape(to_toml(report.recipe))}</pre>",
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Training report</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><body>{body}</body></html>\n"
    )


def _about(report: FitReport) -> list[tuple[str, str]]:
    ends = {"done": "ran to its end", "early": "ended early", "interrupted": "was interrupted"}
    minutes, seconds = divmod(round(report.seconds), 60)
    speed = report.examples / max(report.seconds, 1e-9)
    space = report.space
    served = "none: a pair is scored, not embedded"
    if space is not None:
        served = f"{space['dim']} dimensions, {space['similarity']}; fingerprint {space['fingerprint']}"
    rows = [
        ("model", f"{report.folder} ({report.kind})"),
        ("run", f"{report.steps:,} steps, {report.examples:,} examples; it {ends[report.end]}"),
        ("time in steps", f"{minutes:,} min {seconds:02d} s, {speed:.1f} examples a second"),
        ("precision", report.precision),
        ("weights kept", "the last" if report.best < 0 else f"of step {report.best:,}, the best look"),
        ("space", served if report.end != "interrupted" else "not yet"),
    ]
    teacher = report.data.get("teacher")
    return [*rows, *([("teacher", f"fingerprint {teacher}")] if teacher else [])]


def _data(report: FitReport) -> str:
    """A row a source: what it is, what was found in it, and the digest that names its content."""
    checked, made = report.data["checked"], report.recipe["data"]
    sources = [("train", one) for one in checked["train"]]
    splits = ["dev"] * len(made["dev"]) + ["test"] * len(made["test"])
    sources += zip(splits, checked["held_out"], strict=True)
    head = "".join(f"<th>{t}</th>" for t in ("source", "form", "examples", "found", "SHA-256"))
    rows, shown = [], []
    for split, one in sources:
        left = checked["left_out"].get(one["name"], 0) if split == "train" else 0
        found = [f"{count:,} × {kind}" for kind, count in one["counts"].items()]
        found += [f"{left:,} left out"] if left else []
        found += [f"{share:.1%} of {role} texts cut" for role, share in one["over_long"].items() if share]
        cells = (
            f"{one['name']} ({split})",
            one["form"],
            f"{one['examples']:,}",
            "; ".join(found) or "nothing",
        )
        marks = ("", "", ' class="n"', "")
        row = "".join(f"<td{m}>{html.escape(c)}</td>" for m, c in zip(marks, cells, strict=True))
        rows.append(f'<tr>{row}<td class="d">{one["digest"]}</td></tr>')
        shown += [(f"{each['kind']}, {each['where']}", each["what"]) for each in one["shown"]]
    listed = f"<p>Some of what was found:</p>{_table(shown)}" if shown else ""
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>{listed}"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(str(b))}</td></tr>" for a, b in rows)
    return f"<table>{cells}</table>"


def _gains(report: FitReport) -> str:
    if report.end == "interrupted":
        return "<p>Nothing yet: the run was interrupted, and the same command goes on with it.</p>"
    if not report.gains:
        return "<p>No dev or test set was given: nothing is known of the gain.</p>"
    names = ("set", "metric", "start", "trained", "difference", "95% interval", "verdict")
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(_gain(one) for one in report.gains)
    chosen = (
        "<p>The weights kept are those of the best look at the dev sets, so their figures are a little too "
        "good; a test set, looked at once, has no such bias.</p>"
    )
    return f"<table><tr>{head}</tr>{rows}</table>{chosen if report.best >= 0 else ''}"


def _gain(one: Gain) -> str:
    low, high, said = one.low, one.high, ""
    if one.verdict is not None:
        (low, high), said = one.verdict["interval"], str(one.verdict["outcome"])
    interval = "" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    figures = (f"{one.start:.4f}", f"{one.end:.4f}", f"{one.end - one.start:+.4f}", interval)
    names = "".join(f"<td>{html.escape(text)}</td>" for text in (f"{one.name} ({one.split})", one.metric))
    numbers = "".join(f'<td class="n">{text}</td>' for text in figures)
    return f"<tr>{names}{numbers}<td>{html.escape(said)}</td></tr>"


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
