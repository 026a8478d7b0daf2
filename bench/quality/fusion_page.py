"""docs/fusion.md from results/fusion.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fusion.md"
_HEAD = """# Other ways to fuse

Written by `bench/quality/fusion.py` from `bench/results/fusion.json`; do not edit.

A hybrid search stretches both lists to 0 to 1 and adds them with equal weights (`min-max`, see
[decision 0008](decisions/0008-fusion-by-min-max.md)). This page holds what else was tried: other scales, and
a weight for each query from signals that need no judgments. **None became the default.**

A way had to lose no more than {margin} nDCG@10 on any development set, and to gain on their mean. *{chosen}*
was chosen so, and then looked at on three test sets, once: what it gains on one kind of corpus it loses on
another, and the gains on the development sets did not come again. They were too good to begin
with: *evidence* and its constant are the best of some 150 scales, exponents and constants tried on those very
sets, whole and with their vectors cut to 64 and to 24 numbers.

## The ways

- *theoretical min-max*: BM25 from 0, cosine from the corpus's mean or from -1 (Bruch, Gai and Ingber 2023).
- *distributions*: each list from three deviations below its mean to three above (DBSF).
- *shares of the largest*: BM25 as a share of the largest that the question's words allow, cosine as a share
  of the way from the corpus's mean to 1.
- *deviations*: cosine in standard deviations from its mean over the corpus, times 0.65, and BM25 divided by
  the logarithm of how many texts there are.
- *evidence*: half the square of those deviations, which is how many nats rarer such a cosine is than the mean
  one, were cosines normal; times 1.75, and BM25 as it is. Long questions so count more by their words.
- *fitted*: min-max with a weight for each query, a logistic of how many words the question has, of how many
  deviations the nearest text lies above the mean, of how far BM25 falls over the first ten, and of how
  similar the best text by words is; fitted on all development sets but the one it is tried on.
"""


def page(figures: dict[str, Any]) -> str:
    """The page."""
    sets = figures["development"]
    lines = [_HEAD.format(**figures)]
    lines += ["## Development sets", "", "nDCG@10 of the default, and differences to it.", ""]
    lines += [f"| way | {' | '.join(sets)} | mean | least |", "|---|" + "---|" * (len(sets) + 2)]
    defaults = [own["default"]["nDCG@10"] for own in sets.values()]
    cells = [f"{value:.4f}" for value in defaults]
    lines.append(f"| default | {' | '.join(cells)} | {_mean(defaults):.4f} |  |")
    for name in next(iter(sets.values()))["ways"]:
        moved = [own["ways"][name]["nDCG@10"]["difference"] for own in sets.values()]
        cells = [f"{value:+.4f}" for value in (*moved, _mean(moved), min(moved))]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"## {figures['chosen'].capitalize()} on every set", "", _LEGEND]
    lines += ["| set | queries | metric | default | " + figures["chosen"] + " | difference | 95% interval | p |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for kind in ("development", "test"):
        for name, own in figures[kind].items():
            lines += _rows(f"{name}{' (test set)' if kind == 'test' else ''}", own, figures["chosen"])
    return "\n".join(lines) + "\n"


_LEGEND = "Paired differences. A first ten holds evidence (success@10), and in which order (nDCG@10).\n"


def _rows(name: str, own: dict[str, Any], chosen: str) -> list[str]:
    way, rows = own["ways"][chosen], list[str]()
    for metric in ("nDCG@10", "success@10"):
        told = way[metric]
        low, high = told["interval"]
        first = f"{name} | {own['queries']:,}" if not rows else " | "
        rows.append(
            f"| {first} | {metric} | {own['default'][metric]:.4f} | {way['means'][metric]:.4f} | "
            f"{told['difference']:+.4f} | {low:+.4f} to {high:+.4f} | {told['p']:.2g} |"
        )
    return rows


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
