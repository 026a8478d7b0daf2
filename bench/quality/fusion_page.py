"""What docs/fusion.md is made of, from the figures of `fusion.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    figures = results("fusion")
    sets = figures["development"]
    defaults = [own["default"]["nDCG@10"] for own in sets.values()]
    ways: list[list[str]] = [["default", *(f"{value:.4f}" for value in (*defaults, fmean(defaults))), ""]]
    for name in next(iter(sets.values()))["ways"]:
        moved = [own["ways"][name]["nDCG@10"]["difference"] for own in sets.values()]
        ways.append([name, *(f"{value:+.4f}" for value in (*moved, fmean(moved), min(moved)))])
    rows: list[tuple[str, ...]] = []
    for kind in ("development", "test"):
        for name, own in figures[kind].items():
            rows += _rows(f"{name}{' (test set)' if kind == 'test' else ''}", own, figures["chosen"])
    return {"ways": ways, "sets": rows}


def _rows(name: str, own: dict[str, Any], chosen: str) -> Iterator[tuple[str, ...]]:
    way = own["ways"][chosen]
    first = (name, f"{own['queries']:,}")
    for metric in ("nDCG@10", "success@10"):
        low, high = way[metric]["interval"]
        means = (f"{own['default'][metric]:.4f}", f"{way['means'][metric]:.4f}")
        difference = (f"{way[metric]['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{way[metric]['p']:.2g}")
        yield (*first, metric, *means, *difference)
        first = ("", "")
