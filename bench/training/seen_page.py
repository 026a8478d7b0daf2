"""docs/seen.md from the figures of seen.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "seen.md"
IMAGES = PAGE.parent / "images"

HEAD = """\
# What training does, seen

Written by `bench/training/seen.py` from `bench/results/seen.json`; do not edit.

Every training run follows a few texts: some queries, the documents that are right for them, and documents
that only share their words (BM25's first that are not right). `[dev] map = 3` in a recipe says how many
queries; 0 follows none. Their vectors are kept at nine moments of the run in `MODEL.training/seen.npz`, and
the report draws them. Looking draws no random number: the model is the same with it and without.

The pictures are of a model that is trained on {pairs:,} of {set}'s questions and answers: {seen}.

![Three panels: the same texts at the start, in the middle and at the end of training](images/seen.png)

These are questions that it did not train on. Here are some that it did: without a dev set, a run follows
examples that it trains on.

![Three panels of texts that were trained on](images/seen-train.png)

Star: a query; dots: its documents; crosses: documents that only share its words. All panels show one plane,
that of most variance over all stages (PCA). It holds but a part of the variance, so the cosines above the
panels, in all dimensions, are what counts.

![Texts that were trained on, moving from stage to stage](images/seen-train.gif)

## Alignment and uniformity

How near pairs that belong together are, and how evenly all texts fill the sphere (Wang and Isola 2020,
arXiv:2005.10242); of both, lower is better. Measured on the followed pairs, at unit length. The curve is of
texts that were not trained on; the star is the model that was kept.

![Alignment and uniformity over the steps](images/alignment.png)

| followed | step | alignment | uniformity | cosine to right documents | to those that only share words |
|---|---|---|---|---|---|
"""

SEEDS = """
## Two seeds

The same recipe and the same data, with two seeds: for the first weights where they are random, and for the
order of the examples and dropout. Measured on {answers} answers that were not trained on, and {questions}
questions.

- *nDCG@10*: of each of the two models on the questions and their answers;
- *neighbours*: the share of an answer's {k} nearest that both models agree on; {chance:.2f} by chance;
- *cosine*: the mean cosine between the two models' vectors of one text; 1 if they could be mixed;
- *results*: the share of a question's {k} results that both models find, each with its own vectors;
- *cross-search*: the share of one model's {k} results that its question finds among the other's vectors;
- *turned*: the same after the best rotation of one space onto the other, found with half of the answers.

| model | steps | nDCG@10 | neighbours | cosine | results | cross-search | turned |
|---|---|---|---|---|---|---|---|
"""

END = """
Where weights begin at random, two runs agree on far more neighbours than chance has it, and on no coordinate.
A question of one finds among vectors of the other what chance finds, and nothing in the scores says so. A
rotation brings back what the two agree on. The agreement is not all due to training: means of random rows
already keep which texts share words, so that the starts agree too.

Two runs that begin with one trained model stay near each other for a while: there a mistake would be hard to
see, and as much a mistake.

So a space is known by what made it, not by its dimensions. To put vectors of two into one array, one index
or one collection raises `SpaceMismatch`:

```
{error}
```
"""


def page(figures: dict[str, Any]) -> str:
    """The whole page."""
    out = [HEAD.format(**figures)]
    for name, course in figures["courses"].items():
        for step, alignment, uniformity, near, far in course:
            numbers = (f"{value:.3f}" for value in (alignment, uniformity, near, far))
            out.append(row(name, step, *numbers))
    out.append(SEEDS.format(**figures))
    for name, own in figures["models"].items():
        (first, trained), (second, also) = own["ndcg_at_10"]
        out.append(between(f"{name}: start", 0, (first, second), own["start"]))
        out.append(between(f"{name}: trained", own["steps"], (trained, also), own["trained"]))
    errors = [own["trained"]["error"] for own in figures["models"].values()]
    out.append(END.format(error=errors[0]))
    return "".join(out)


def between(name: str, steps: int, ndcg: tuple[float, float], own: dict[str, Any]) -> str:
    """What two models have in common."""
    return row(
        name,
        steps,
        " / ".join(f"{value:.3f}" for value in ndcg),
        f"{own['overlap']:.2f}",
        f"{own['cosine']:.3f}",
        f"{own['results_agree']:.2f}",
        f"{own['cross_search']:.2f}",
        f"{own['cross_search_rotated']:.2f}",
    )


def row(*values: Any) -> str:
    """A table's row."""
    return "| " + " | ".join(str(value) for value in values) + " |\n"
