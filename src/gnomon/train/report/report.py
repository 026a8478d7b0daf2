"""The report of a run: report.json, and report.html with its curves."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.core.files import write_atomic
from gnomon.html import render
from gnomon.train.recipe.recipe import to_toml
from gnomon.train.report.embedding_map import MAP_FILE, read_map
from gnomon.train.report.results import LOG, FitReport, Gain, read_log


def write_report(report: FitReport, folder: Path) -> None:
    """Write both files into the run's folder. Raises OSError."""
    rows = read_log(folder / LOG) if (folder / LOG).is_file() else []
    write_atomic(folder / "report.json", json.dumps(report.to_json(), indent=1, ensure_ascii=False))
    pictures = None
    try:
        pictures = draw_pictures(report, folder)
    finally:
        write_atomic(folder / "report.html", as_html(report, rows, pictures=pictures))


def draw_pictures(report: FitReport, folder: Path) -> tuple[bytes, bytes] | None:
    """The map of a few texts and their alignment as PNG, drawn into the run's folder, with the map as a GIF.

    None where there is nothing to draw, or matplotlib is not installed.
    """
    stages = read_map(folder / MAP_FILE)
    if stages is None or report.end == "interrupted" or not report.recipe["dev"]["map"]:
        return None
    try:
        from gnomon.train.report.map_plot import draw_animation, draw_curve, draw_map

        pictures = draw_map(stages, folder / "embedding-map.png"), draw_curve(stages, folder / "alignment.png")
        draw_animation(stages, folder / "embedding-map.gif")
    except InvalidInput:
        return None  # the page says below the curves that matplotlib is not installed
    return pictures[0].read_bytes(), pictures[1].read_bytes()


def as_html(report: FitReport, rows: Sequence[dict[str, Any]], *, pictures: tuple[bytes, bytes] | None = None) -> str:
    """The page. `rows` are those of the training log, `pictures` what `draw_pictures` gives."""
    map_png, alignment_png = pictures or (None, None)
    sources, examples = _sources(report)
    return render(
        "gnomon.train.report",
        "report.html",
        title="Training report",
        report=report,
        about=_about(report),
        gains=[_gain(one) for one in report.gains],
        curves=_curves(report, rows),
        map_png=map_png,
        alignment_png=alignment_png,
        sources=sources,
        data_examples=examples,
        recipe=to_toml(report.recipe),
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
        *([("unused", f"{report.unused:,} examples of an epoch were in no step")] if report.unused else []),
        *([("alone", f"{report.alone:,} examples, in batches of one document")] * bool(report.alone)),
        *(("failed", problem) for problem in report.problems),
        ("time in steps", f"{minutes:,} min {seconds:02d} s, {speed:.1f} examples a second"),
        ("precision", report.precision),
        *(("sparsity", sentence) for sentence in report.sparsity),
        ("weights kept", "the last" if report.best < 0 else f"of step {report.best:,}, the best evaluation"),
        ("space", served if report.end != "interrupted" else "not yet"),
    ]
    teacher = report.data.get("teacher")
    return [*rows, *([("teacher", f"fingerprint {teacher}")] if teacher else [])]


def _sources(report: FitReport) -> tuple[list[tuple[str, ...]], list[tuple[str, str]]]:
    """A row for each source: what it is, what was found in it, its digest; and examples of what was found."""
    checked, data = report.data["checked"], report.recipe["data"]
    sources = [("train", one) for one in checked["train"]]
    splits = ["dev"] * len(data["dev"]) + ["test"] * len(data["test"])
    sources += zip(splits, checked["held_out"], strict=True)
    rows: list[tuple[str, ...]] = []
    examples: list[tuple[str, str]] = []
    for split, one in sources:
        left_out = checked["left_out"].get(one["name"], 0) if split == "train" else 0
        found = [f"{count:,} × {kind}" for kind, count in one["counts"].items()]
        found += [f"{left_out:,} left out"] if left_out else []
        found += [f"{share:.1%} of {role} texts cut" for role, share in one["over_long"].items() if share]
        name = f"{one['name']} ({split})"
        rows.append((name, one["form"], f"{one['examples']:,}", "; ".join(found) or "nothing", one["digest"]))
        examples += [(f"{each['kind']}, {each['where']}", each["what"]) for each in one["shown"]]
    return rows, examples


def _gain(gain: Gain) -> tuple[str, ...]:
    low, high, outcome = gain.low, gain.high, ""
    if gain.verdict is not None:
        (low, high), outcome = gain.verdict["interval"], str(gain.verdict["outcome"])
    interval = "" if low is None or high is None else f"{low:+.4f} to {high:+.4f}"
    figures = (f"{gain.start:.4f}", f"{gain.end:.4f}", f"{gain.end - gain.start:+.4f}", interval)
    return (f"{gain.name} ({gain.split})", gain.metric, *figures, outcome)


def _curves(report: FitReport, rows: Sequence[dict[str, Any]]) -> bytes | None:
    """Loss, learning rate and dev figures over the steps, as PNG: empty without steps, None without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    steps = [row for row in rows if "loss" in row]
    if not steps:
        return b""
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
    below.plot(*zip(*report.evaluations, strict=True), "o-", color="#1f5fa8") if report.evaluations else None
    below.set_ylabel("dev figure")
    below.set_xlabel("step")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _smooth(values: Sequence[float], share: float = 0.05) -> list[float]:
    found, mean = [], values[0]
    for value in values:
        mean += share * (value - mean)
        found.append(mean)
    return found
