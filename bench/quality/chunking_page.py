"""docs/chunking.md from results/chunking.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "chunking.md"
_HEAD = """# Chunks and titles

Written by `bench/quality/chunking.py` from `bench/results/chunking.json`; do not edit.

A document is cut into chunks of at most 256 tokens that share up to 32 with their neighbours; its title and
the headings above stand before each chunk's text for embedding, and twice among its words. This page holds
what else was tried, by changing one thing at a time. **Nothing became the default:** a way had to lose no
more than {margin} nDCG@10 on any development set and to gain on their mean, in a hybrid search.
{outcome}
A title that some thirty passages share says nothing within its article. covidqa, a test set, is made so, and
no development set comes so; two are made from those at hand:

- *rhdh_docs, titles of files*: each passage under the first title of its file instead of its section's.
- *xquad/en, titles of articles*: the paragraphs in passages of some forty words, each under the title of its
  Wikipedia article; the passage that holds the answer counts.

*Titles of at most N* are those that no more than N documents share; others stay among the words only. Such a
rule could not be kept as it stands: how many documents share a title is known only when all are there, so
what is added in two runs would be embedded otherwise than what is added in one.

`scifact train` is 400 of its claims with 1,200 documents. Even chunks are as many as before, and of equal
length; they and shorter ones were not tried on all sets. Each interval is of 95 % by itself: with this many
some leave out 0 by chance.
"""
_TEST = """## Test set

Looked at once, for the way that the development sets leave standing. Evidence among the first ten is
`success@10`. The figures are no fresh proof: it was known before that covidqa does better without titles,
which is why they were looked into.
"""
_METRICS = ("nDCG@10", "success@10")


def page(figures: dict[str, Any]) -> str:
    """The page."""
    lines = [_HEAD.format(outcome=_outcome(figures), margin=figures["margin"])]
    lines += ["## Development sets", "", *_summary(figures["development"]), ""]
    for name, own in figures["development"].items():
        lines += [f"### {name}", "", *_table(own), ""]
    lines += [_TEST]
    for name, own in figures["test"].items():
        lines += [f"### {name}", "", *_table(own), ""]
    return "\n".join(lines).rstrip() + "\n"


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


def _summary(sets: dict[str, Any]) -> list[str]:
    ways = _ways(sets)
    lines = ["nDCG@10 of the default in a hybrid search, and differences to it.", ""]
    lines += [f"| way | {' | '.join(sets)} | mean | least |", "|---|" + "---|" * (len(sets) + 2)]
    defaults = [own["default"]["hybrid"]["nDCG@10"] for own in sets.values()]
    cells = [f"{value:.4f}" for value in (*defaults, sum(defaults) / len(defaults))]
    lines.append(f"| default | {' | '.join(cells)} |  |")
    for way in ways:
        found = moved(sets, way)
        own = [f"{found[name]:+.4f}" if name in found else "not tried" for name in sets]
        cells = [*own, f"{_mean(found):+.4f}", f"{min(found.values()):+.4f}"]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return lines


def _table(own: dict[str, Any]) -> list[str]:
    before = own["default"]
    titles = f"{own['titles']:,} titles" if own["titles"] else "no titles"
    lines = [
        f"{own['documents']:,} documents, {titles}, {own['queries']:,} questions. Beside the hybrid search: "
        "success@10 of its parts.",
        "",
        "| way | nDCG@10 | difference | p | success@10 | difference | p | dense | keyword |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| default | {before['hybrid']['nDCG@10']:.4f} |  |  | {before['hybrid']['success@10']:.4f} |  |  | "
        f"{before['dense']['success@10']:.4f} | {before['lexical']['success@10']:.4f} |",
    ]
    for name, way in own["ways"].items():
        cells = []
        for metric in _METRICS:
            told, (low, high) = way[metric], way[metric]["interval"]
            difference = f"{told['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
            cells += [f"{way['means']['hybrid'][metric]:.4f}", difference, f"{told['p']:.2g}"]
        cells += [f"{way['means'][mode]['success@10']:.4f}" for mode in ("dense", "lexical")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines
