"""The page on watching and its pictures, from the figures of bench/migration/watch.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.kernels.cusum import cusum_limit

PAGE = Path(__file__).parents[2] / "docs" / "watch.md"
IMAGES = PAGE.parent / "images"
_BLUE, _RED, _GREEN, _ORANGE, _SOFT = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#9AA5B1"

_OPENING = """# Watching a collection

Written by `bench/migration/watch_page.py` from `bench/results/watch.json`; do not edit.

`gnomon watch kb` says without labels whether a collection is still what it was: is the model the same, are
the vectors those of the model, does the index find what it should, do people ask something else, are the
documents others, do golden queries fall, do searches take longer. The first look takes a baseline.

```
gnomon watch kb --queries asked.txt --set-baseline       # while all is well
gnomon watch kb --queries asked.txt --log watch.jsonl --html watch.html --webhook https://…
gnomon watch kb --golden judged/ --rollback-on golden    # and go back by itself
```

A look ends with exit code 1 when there is an alarm. In Python: `gnomon.evolve.watch(kb, WatchSettings(…))`
gives a frozen `WatchReport`.

## What a look does

{checks}
Queries come from `--queries`; without it, those are taken whose vectors lie in the embedding cache, which
`gnomon eval` fills and searches do not. The cache knows no texts, so none can be named. Fewer than 50 on a
side are *not enough data*, never an all-clear. The baseline keeps vectors, and of texts the golden queries
alone. It is not taken of a collection whose model, vectors or index alarm. It belongs to a vector space:
after a switch to another model take a new one; golden queries go on, as they are judged by documents.

What else alarms explains an alarm: foreign vectors move the documents' sample, and both make golden queries
fall. So there is one alarm for each cause, the deepest first, with what to do.

**Chance.** All p-values of a look are corrected together (Holm 1979): in at most one look in 20 is one of
them an alarm where nothing is wrong. Checks by a fixed limit (canaries, vectors, latency) leave nothing to
that chance; a machine that is suddenly three times as slow is a fact, and is told apart from the rest. The
tests take queries as independent draws: the thousand questions of one user in an hour are not.

**Golden queries.** Each look's mean change since the baseline, in standard deviations of a mean (0.02 at
least), is added up beyond an allowance of a half: C = max(0, C + fall - 0.5) (Page 1954). The p-value is the
share of looks at which a sound collection stands so high, from the sum's own stationary distribution (Brook
and Evans 1972). A fall under 0.01 never adds up, however long it lasts. `--rollback-on golden` goes back to
the former version on an alarm; it never goes back from the version that it went back to.
"""

_CHECKS = (
    (
        "canaries",
        "fixed texts of both roles, encoded now and when the collection was made",
        "cosine under 0.999",
        "model changed",
    ),
    (
        "vectors",
        "stored vectors drawn at random, and their texts encoded again",
        "cosine under 0.999, zero, NaN, cut, missing; the share with its exact interval",
        "index damaged",
    ),
    (
        "recall",
        "the served index against exact search in the catalog's vectors",
        "mean below 98 % of the baseline's (Gaffke's bound)",
        "index damaged",
    ),
    (
        "queries",
        "recent queries against those of the baseline",
        "MMD with an RBF kernel, and a linear classifier, each by permutation",
        "queries changed",
    ),
    (
        "documents",
        "one chunk each of random documents, against those of the baseline",
        "the same two tests",
        "documents changed",
    ),
    (
        "golden",
        "the same judged queries as in the baseline, or queries made from the corpus",
        "CUSUM of the mean",
        "what else alarms explains it; else a switch of the version since",
    ),
    ("latency", "p50 and p95 of single searches", "three times the baseline and 20 ms more, twice", "slower"),
)
_HEALTHY = """
## False alarms

Measured {when} at commit {commit}. A collection of {documents:,} InsuranceQA answers ({model}); {series}
series, each with a baseline of {baseline_queries} real questions, then {each} looks with {queries_a_look}
real questions each, drawn anew, and {churn} documents exchanged before every look. Samples of {sample}
documents, {permutations} permutations (999 by default).

**{hits} of {of} looks raised an alarm: {share:.1%}, 95 % interval {low:.1%} to {high:.1%}.** {causes}

Share of p-values at or below 0.05, each test by itself, before the correction:

"""
_AFTER_HEALTHY = """
![p-values of healthy looks](images/watch-p-values.png)

Samples from one small collection overlap, so the documents' tests are on the safe side: {documents_of} of
{documents:,} documents are drawn each time. Exchanged documents move golden queries for good, so that looks
which follow each other are alike; the least standard deviation of 0.02 is there for that.

![golden queries of healthy looks](images/watch-golden.png)
"""
_DAMAGE = """
## Detection, and what it is put down to

Each damage was done again and again to a copy of a healthy collection that had its baseline, and looked at
once each time, with {queries} queries. "Named" is the share of looks that named the right cause.

"""
_CONFUSION = """
What each damage was put down to, in looks:

"""
_WEAKER = """
The same damage done to less, 40 looks each, 200 queries and 200 checked vectors: the share of looks
that named the right cause.

"""
_CLOSING = """
![detection](images/watch-detection.png)

- Another model's vectors: all of them turned by a random rotation, which keeps every similarity within a
  model and destroys those with another one. In the store, or made by the encoder under the same fingerprint.
- Corrupted: of the vectors chosen at random, in turn: random numbers, zeros, NaN, halves exchanged, a tenth
  of the numbers set to zero.
- The prompt: a collection of a model with the prompt `query: `, which the encoder then cuts or leaves out.
- Mixed queries: {mixed} of {queries} are SciFact's claims, or questions on Medicare, which are {medicare:.0%}
  of all questions anyway.
- Documents: 20 % more, all of them SciFact's abstracts.
- Latency was measured beside all else that ran on the machine. It said slower in {healthy} healthy looks and
  in {slower} of {looks} others, which is left out of the counts above.

The picture that a look draws of the queries, 30 % of them SciFact's claims:

![drift of queries and documents](images/watch-drift.png)

## Limits

- Detection is for what is stated: a smaller share, or fewer queries, is seen less often. 200 vectors
  looked at find damage to 1 % of all in 87 % of the looks, to 0.1 % in 18 %. Vectors that are zero, NaN, cut
  or missing are found whatever their share: the recall check reads all of them.
- A change that leaves the distribution of vectors as it was is not seen by drift: other questions on the
  same subject, or wrong documents in place of right ones.
- Above 4,096 vectors of both samples MMD takes random Fourier features: memory grows with the rows, not
  with their square, and the test stays exact.
"""


def page(figures: Mapping[str, Any]) -> str:
    """The whole page in Markdown."""
    healthy, damage = figures["healthy"], figures["damage"]
    causes = "; ".join(f"{count} said {cause}" for cause, count in healthy["causes"].items())
    facts = {**figures, **healthy, "causes": f"Of these, {causes}." if causes else ""}
    facts |= {"each": healthy["of"] // figures["series"], "when": figures["when"][:10]}
    checks = table(("check", "what is compared", "decided by", "an alarm is put down to"), _CHECKS)
    parts = [_OPENING.replace("{checks}\n", checks), _HEALTHY.format(**facts)]
    rows: list[tuple[str, ...]] = [
        (name, f"{one['share']:.1%}", f"{one['low']:.1%} to {one['high']:.1%}")
        for name, one in healthy["below_5_percent"].items()
        if name != "recall"
    ]
    parts.append(table(("test", "share", "95 % interval"), rows))
    parts.append(_AFTER_HEALTHY.format(documents_of=figures["sample"], documents=figures["documents"]))
    parts.append(_DAMAGE.format(queries=figures["queries_a_look"]))
    rows = [
        (
            *(name, str(one["of"]), f"{one['share']:.0%}"),
            f"{one['low']:.1%} to {one['high']:.1%}",
            f"{one['named'] / one['of']:.0%}",
        )
        for name, one in damage.items()
    ]
    parts += [table(("damage", "looks", "detected", "95 % interval", "named"), rows), _CONFUSION]
    kinds = list(dict.fromkeys(cause for one in damage.values() for cause in one["causes"]))
    cells = [(name, *(one["causes"].get(kind, 0) for kind in kinds)) for name, one in damage.items()]
    parts.append(table(("damage", *kinds), cells))
    less = [
        (name, f"{float(share):.0%}", f"{one['share']:.0%}", f"{one['low']:.0%} to {one['high']:.0%}")
        for name, of in figures["weaker"].items()
        for share, one in of.items()
    ]
    parts += [_WEAKER, table(("damage, but of less", "share", "named", "95 % interval"), less)]
    parts.append(
        _CLOSING.format(
            mixed=round(figures["mix"] * figures["queries_a_look"]),
            queries=figures["queries_a_look"],
            medicare=figures["medicare"],
            slower=sum(one["slower"] for one in damage.values()),
            looks=sum(one["of"] for one in damage.values()),
            healthy=f"{healthy['slower']} of {healthy['of']}",
        )
    )
    return "".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def draw(figures: Mapping[str, Any]) -> None:
    """The page's pictures, but the one that a look draws itself."""
    IMAGES.mkdir(exist_ok=True)
    _p_values(figures["healthy"]["p"])
    _golden(figures["healthy"]["golden_sums"], figures["series"])
    _detection(figures["damage"])


def _p_values(values: Mapping[str, Sequence[float]]) -> None:
    figure, axes = _figure((7, 4))
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", label="as chance has it")
    colours = {"queries": _BLUE, "documents": _GREEN, "golden": _RED}
    for name, found in values.items():
        colour = colours.get(name.split(":")[0])
        if colour:
            style = ":" if "classifier" in name else "-"
            shares = np.arange(1, len(found) + 1) / len(found)
            axes.step(np.sort(found), shares, style, color=colour, where="post", label=name)
    axes.set_xlabel("p-value")
    axes.set_ylabel("share of healthy looks at or below")
    axes.legend(frameon=False, fontsize=8)
    _save(figure, "watch-p-values.png")


def _golden(sums: Sequence[float], series: int) -> None:
    figure, axes = _figure((7, 3))
    each = len(sums) // series
    for number in range(series):
        axes.plot(range(1, each + 1), sums[number * each : (number + 1) * each], color=_BLUE, alpha=0.5, linewidth=1)
    axes.axhline(cusum_limit(0.05), color=_SOFT, linestyle="--", label="limit, were it the only test")
    axes.axhline(cusum_limit(0.05 / 6), color=_RED, linestyle="--", label="limit among six tests")
    axes.set_xlabel("look of a series")
    axes.set_ylabel("falls added up, in sd (CUSUM)")
    axes.legend(frameon=False, fontsize=8)
    _save(figure, "watch-golden.png")


def _detection(damage: Mapping[str, Mapping[str, Any]]) -> None:
    figure, axes = _figure((8, 3.6))
    names = list(damage)[::-1]
    for at, name in enumerate(names):
        one = damage[name]
        axes.plot([one["low"], one["high"]], [at, at], color=_BLUE, linewidth=4, alpha=0.4)
        axes.plot([one["share"]], [at], "o", color=_BLUE, label="detected" if at == 0 else None)
        axes.plot([one["named"] / one["of"]], [at], "x", color=_ORANGE, label="right cause" if at == 0 else None)
    axes.axvline(0.95, color=_SOFT, linestyle="--", label="95 %")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlim(0.85, 1.005)
    axes.set_xlabel("share of looks")
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    _save(figure, "watch-detection.png")


def _figure(size: tuple[float, float]) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.grid(color="#E5E9EE", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Any, name: str) -> None:
    figure.savefig(IMAGES / name, facecolor="white")


if __name__ == "__main__":
    kept = json.loads((Path(__file__).parents[1] / "results" / "watch.json").read_text())
    draw(kept)
    PAGE.write_text(page(kept))
