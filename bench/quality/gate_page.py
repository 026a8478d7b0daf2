"""docs/gate.md from the figures of gate.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "gate.md"
Cell = dict[str, Any]

HEAD = """\
# How honest the gate is

A verdict passes a candidate when it says *better* or *not worse*. This page says how often that is wrong, on
real scores, beside a rule that is widely used: *recall may fall by {fall:g}, with at least {fewest} queries*.
It is written by `python -m bench gate`; all figures are in `bench/results/gate.json`.

The populations are per-query differences of real pairs of searches. Their queries are drawn with chances that
make the true mean difference exactly what the tables say and keep the shape: most queries tie, a few change a
lot. One population is a search in which some queries find nothing any more; at a difference of 0 it is the
same search twice, and cannot be better. Each figure is a share of {trials:,} samples of n queries, averaged
over the populations, with the least and the greatest of them in brackets. The margin is {recall:g} for
recall@10, {ndcg:g} for nDCG@10; alpha is {alpha:g}. Here, test and interval use {draws:,} draws.

| population | metric | queries | mean difference | standard deviation | ties |
|---|---|---|---|---|---|
"""

WORSE = """
## Passing a worse system, recall@10

*BCa alone* is the same rule without Gaffke's bound (see `mean_intervals`): a plain bootstrap interval.

| true difference | n | verdict | fixed rule | BCa alone |
|---|---|---|---|---|
"""

EQUAL = """
## Stopping an equal system, recall@10

A stop is no proof of harm: with few queries the verdict says *undecided*, and how many would settle it.

| n | verdict stops | of these: called worse | fixed rule stops | called better |
|---|---|---|---|---|
"""

BETTER = """
## Letting a better system through, recall@10, true difference +0.02

| n | verdict passes | of these: called better | fixed rule passes |
|---|---|---|---|
"""

NDCG = """
## nDCG@10, margin {margin:g}

| true difference | n | better | not worse | undecided | worse |
|---|---|---|---|---|---|
"""


def page(figures: dict[str, Any]) -> str:
    """The whole page."""
    cells, margins, fixed = figures["cells"], figures["margins"], figures["fixed_rule"]
    counts, effects = _values(cells, "n"), _values(cells, "effect")
    recall = [c for c in cells if c["metric"] == "recall@10"]
    ndcg = [c for c in cells if c["metric"] == "nDCG@10"]
    out = [
        HEAD.format(
            fall=fixed["fall"],
            fewest=fixed["fewest_queries"],
            trials=figures["trials"],
            recall=margins["recall@10"],
            ndcg=margins["nDCG@10"],
            alpha=figures["alpha"],
            draws=figures["draws"],
        )
    ]
    for p in figures["populations"]:
        mean, ties = f"{p['mean_difference']:+.4f}", f"{p['ties']:.0%}"
        out.append(_row(p["name"], p["metric"], f"{p['queries']:,}", mean, f"{p['sd']:.3f}", ties))
    out.append(WORSE)
    for effect in sorted(e for e in effects if e < 0):
        for n in counts:
            at = _at(recall, effect, n)
            shown = (_range(at, how) for how in (_passes, _of("fixed_passes"), _of("bca_alone_passes")))
            out.append(_row(f"{effect:+g}", n, *shown))
    out.append(EQUAL)
    for n in counts:
        at = _at(recall, 0.0, n)
        hows = (lambda c: 1 - _passes(c), _of("worse"), lambda c: 1 - c["fixed_passes"], _of("better"))
        out.append(_row(n, *(_range(at, how) for how in hows)))
    out.append(BETTER)
    for n in counts:
        at = _at(recall, 0.02, n)
        out.append(_row(n, *(_range(at, how) for how in (_passes, _of("better"), _of("fixed_passes")))))
    out.append(NDCG.format(margin=margins["nDCG@10"]))
    for effect in sorted(effects):
        for n in counts:
            at = _at(ndcg, effect, n)
            names = ("better", "not_worse", "undecided", "worse")
            out.append(_row(f"{effect:+g}", n, *(_range(at, _of(name)) for name in names)))
    return "".join(out)


def _values(cells: Sequence[Cell], key: str) -> list[Any]:
    return list(dict.fromkeys(cell[key] for cell in cells))


def _at(cells: Sequence[Cell], effect: float, n: int) -> list[Cell]:
    return [cell for cell in cells if cell["effect"] == effect and cell["n"] == n]


def _passes(cell: Cell) -> float:
    return float(cell["better"] + cell["not_worse"])


def _of(name: str) -> Callable[[Cell], float]:
    return lambda cell: float(cell[name])


def _range(cells: Sequence[Cell], how: Callable[[Cell], float]) -> str:
    """The mean over the populations, and the least and the greatest."""
    values = [how(cell) for cell in cells]
    return f"{sum(values) / len(values):.1%} ({min(values):.1%}–{max(values):.1%})"


def _row(*values: Any) -> str:
    return "| " + " | ".join(str(value) for value in values) + " |\n"
