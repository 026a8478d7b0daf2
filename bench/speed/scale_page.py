"""What the figures of docs/scale.md are made of: sizes that `million.py` measured, and calculated ones to a billion."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnomon.core.space import Space
from gnomon.migrate.scale import engine_estimates

BEYOND = (10**7, 10**8, 10**9)
"""Chunks of the sizes that are calculated."""
_IMAGE = Path(__file__).parents[2] / "docs" / "images" / "scale-curve.png"
_DIM = 384


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of the tables: the curve, and what engines take at each size beyond."""
    figures = results("million")
    if not figures or not figures.get("sizes"):
        return {"sizes": [], "engines": []}
    return {"sizes": curve(figures["sizes"], results("encode")), "engines": _engines()}


def curve(measured: list[dict[str, Any]], encode: dict[str, Any] | None) -> list[dict[str, Any]]:
    """One row a size: chunks, origin, milliseconds of CPU time, bytes in memory and on disk, core hours of embedding.

    Beyond what was measured, bytes grow in proportion to the largest size that was; a search takes its own time for
    encoding and words, and the scan's time grows with the chunks. CPU time is that of all threads together.
    """
    sizes = sorted(measured, key=lambda size: int(size["chunks"]))
    per_cpu = encode["scifact_documents"]["gnomon_per_cpu_s"]["median"] if encode else None
    rows = [_measured(size, per_cpu) for size in sizes]
    largest = sizes[-1]
    for chunks in BEYOND:
        if chunks > largest["chunks"]:
            rows.append(_calculated(largest, chunks, per_cpu))
    return rows


def _measured(size: dict[str, Any], per_cpu: float | None) -> dict[str, Any]:
    return {
        "chunks": size["chunks"],
        "origin": "measured",
        "hybrid_ms": size["query_ms"]["hybrid"]["cpu_p50"],
        "memory_mib": size["rss_mib"],
        "catalog_mib": size["catalog_mib"],
        "derived_mib": size["derived_mib"],
        "core_hours": size["chunks"] / per_cpu / 3600 if per_cpu else None,
    }


def _calculated(largest: dict[str, Any], chunks: int, per_cpu: float | None) -> dict[str, Any]:
    times, ms = chunks / largest["chunks"], largest["query_ms"]
    fixed = ms["encode_alone"]["cpu_p50"]
    scanned = max(0.0, ms["hybrid"]["cpu_p50"] - fixed)
    return {
        "chunks": chunks,
        "origin": "calculated",
        "hybrid_ms": fixed + scanned * times,
        "memory_mib": largest["rss_mib"] * times,
        "catalog_mib": largest["catalog_mib"] * times,
        "derived_mib": largest["derived_mib"] * times,
        "core_hours": chunks / per_cpu / 3600 if per_cpu else None,
    }


def _engines() -> list[dict[str, Any]]:
    space = Space("0" * 64, _DIM, "cosine", "float", "any")
    sizes = (10**6, *BEYOND)
    found = {chunks: engine_estimates(space, chunks) for chunks in sizes}
    rows = []
    for at, engine in enumerate(found[sizes[0]]):
        at_sizes = [found[chunks][at] for chunks in sizes]
        rows.append({"engine": engine.engine, "how": engine.how, "origin": engine.origin, "at": at_sizes})
    return rows


def plot(rows: list[dict[str, Any]], path: Path = _IMAGE) -> None:
    """Draw the curve: measured sizes as full points, calculated ones as hollow points on a dashed line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, rows, "hybrid_ms", "hybrid search", "#2a6f97")
    left.set_ylabel("ms of CPU time, median")
    _draw(right, rows, "memory_mib", "memory", "#bc4749", scale=1 / 1024)
    _draw(right, rows, "catalog_mib", "catalog on disk", "#386641", scale=1 / 1024)
    _draw(right, rows, "derived_mib", "derived indexes on disk", "#7f7f7f", scale=1 / 1024)
    right.set_ylabel("GiB")
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="passages")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, facecolor="white")


def _draw(axes: Any, rows: list[dict[str, Any]], key: str, label: str, colour: str, *, scale: float = 1.0) -> None:  # noqa: PLR0917
    known = [row for row in rows if row["origin"] == "measured"]
    beyond = known[-1:] + [row for row in rows if row["origin"] != "measured"]
    axes.plot([r["chunks"] for r in known], [r[key] * scale for r in known], "o-", color=colour, label=label)
    points = ([r["chunks"] for r in beyond[1:]], [r[key] * scale for r in beyond[1:]])
    axes.plot([r["chunks"] for r in beyond], [r[key] * scale for r in beyond], "--", color=colour)
    axes.plot(*points, "o", color=colour, markerfacecolor="white")


def main() -> int:
    """Write the plot."""
    from bench.pages import results

    figures = results("million")
    if not figures or not figures.get("sizes"):
        print("no sizes in bench/results/million.json: python -m bench million")
        return 1
    plot(curve(figures["sizes"], results("encode")))
    print(f"docs/images/{_IMAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
