"""What docs/chunking.md is made of, from the figures of `chunking.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_METRICS = ("nDCG@10", "success@10")


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables, and which ways the development sets leave standing."""
    figures = results("chunking")
    rows = {name: _rows(own) for kind in ("development", "test") for name, own in figures[kind].items()}
    return {"outcome": _outcome(figures), "summary": _summary(figures["development"]), "rows": rows}


def moved(sets: dict[str, Any], way: str) -> dict[str, float]:
    """A way's differences in nDCG@10 by set, where tried: 0 for titles where there are none."""
    found = {}
    for name, own in sets.items():
        if way in own["ways"]:
            found[name] = own["ways"][way]["nDCG@10"]["difference"]
        elif "title" in way and not own["titles"]:
            found[name] = 0.0
    return found


def passing(figures: dict[str, Any]) -> list[str]:
    """The ways that lose no more than the margin on any development set, and gain on the mean."""
    sets = figures["development"]
    return [
        way
        for way in _ways(sets)
        if min(moved(sets, way).values()) >= -figures["margin"] and sum(moved(sets, way).values()) > 0
    ]


def _ways(sets: dict[str, Any]) -> list[str]:
    return list(dict.fromkeys(way for own in sets.values() for way in own["ways"]))


def _mean(found: dict[str, float]) -> float:
    return sum(found.values()) / len(found)


def _outcome(figures: dict[str, Any]) -> str:
    found, sets = passing(figures), figures["development"]
    if not found:
        return "No way did.\n"
    told = [f"*{way}* ({_mean(moved(sets, way)):+.4f} on the mean)" for way in found]
    shown = sum(
        any(way in own["ways"] and own["ways"][way]["nDCG@10"]["p"] < 0.05 for way in found) for own in sets.values()
    )
    return (
        f"Left standing by that: {', '.join(told)}, whose\ndifference is beyond chance "
        f"(p < 0.05) on {shown} of {len(sets)} sets.\n"
    )


def _summary(sets: dict[str, Any]) -> list[list[str]]:
    defaults = [own["default"]["hybrid"]["nDCG@10"] for own in sets.values()]
    rows = [["default", *(f"{value:.4f}" for value in (*defaults, sum(defaults) / len(defaults))), ""]]
    for way in _ways(sets):
        found = moved(sets, way)
        own = [f"{found[name]:+.4f}" if name in found else "not tried" for name in sets]
        rows.append([way, *own, f"{_mean(found):+.4f}", f"{min(found.values()):+.4f}"])
    return rows


def _rows(own: dict[str, Any]) -> list[list[str]]:
    before = own["default"]
    hybrid = [f"{before['hybrid'][metric]:.4f}" for metric in _METRICS]
    parts = [f"{before[mode]['success@10']:.4f}" for mode in ("dense", "lexical")]
    rows = [["default", hybrid[0], "", "", hybrid[1], "", "", *parts]]
    for name, way in own["ways"].items():
        cells = []
        for metric in _METRICS:
            change, (low, high) = way[metric], way[metric]["interval"]
            difference = f"{change['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
            cells += [f"{way['means']['hybrid'][metric]:.4f}", difference, f"{change['p']:.2g}"]
        rows.append([name, *cells, *(f"{way['means'][mode]['success@10']:.4f}" for mode in ("dense", "lexical"))])
    return rows
