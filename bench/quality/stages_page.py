"""docs/stages.md from the figures of stages.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs" / "stages.md"

HEAD = """\
# Stages that need no model

Written by `bench/quality/stages.py` from `bench/results/stages.json`; do not edit.

Three stages can be added to a search without another model. All are settings of a collection, and **none is
on by default**: each helps on some corpora and harms on others, as the tables show.

| setting | what it does | where |
|---|---|---|
| `rocchio` | moves the query's vector towards the first results and searches again | the dense part |
| `rm3` | adds the words that are typical of the first results and searches again | the keyword part |
| `neighbours` | mixes each result's score with those of the most similar results | whatever comes out |

```python
from gnomon import CollectionSettings, RetrievalSettings
from gnomon.retrieve import RocchioSettings

settings = CollectionSettings(retrieval=RetrievalSettings(rocchio=RocchioSettings(beta=0.1)))
kb = gnomon.open("kb", settings=settings)
```

Whether one helps on your corpus only judged queries can say: make a collection with it and one without, and
compare them with `gnomon compare`.

## What was measured

all-MiniLM-L6-v2, chunks of at most 256 tokens, ten documents a query. *Difference* is that of nDCG@10 to the
same search without the stage, with its interval and p-value. Both are corrected for all stages tried on one
set in one mode: by chance alone, one such group in twenty has a significant row. *Outcome* is the verdict
with a margin of 0.01. *ms* is the median processor time of one query for ten chunks whose vector is known.
The defaults were chosen on parts of the training splits of SciFact and InsuranceQA, so that only Cranfield
and CoSQA know nothing of them.

| name | settings |
|---|---|
"""

TRAIN = """
## Choosing by a training split

What {queries} training queries would choose of plain search and all stages, and what that does to the test
queries. The gain seen while choosing is the greatest of several, and so too good.

| set | mode | chosen | difference there | on the test queries |
|---|---|---|---|---|
"""

MODE = """
## {title}

| set | stage | nDCG@10 | difference | 95% interval | p | won / lost | outcome | ms |
|---|---|---|---|---|---|---|---|---|
"""

PREFIX = """
## Two-stage Matryoshka search

`PrefixDense` searches the first dimensions of every vector and ranks the best {depth} by all of them.
all-MiniLM-L6-v2 was *not* trained for prefixes: with a model that was (Matryoshka representation learning),
short prefixes lose less. *Recall* is the share of the ten chunks that all dimensions find; nDCG@10 is by
document over the first {depth} chunks; *ms* is processor time. Every index here compares every vector, as
float32.
"""

SET = """
### {name}: {vectors:,} vectors, {queries:,} queries

| dimensions | bytes | recall alone | in two stages | nDCG@10 alone | in two stages | ms alone | in two |
|---|---|---|---|---|---|---|---|
"""

CODES = """
The scan of codes that collections above 20,000 passages use (one bit a dimension, the best rescored) has
recall {recall:.3f} and nDCG@10 {ndcg:.4f} in {ms:.2f} ms here. That is why a collection has no setting for
prefixes: at about {bits} bytes a vector its scan already reads less than any prefix above, and needs no
special training.
"""


def page(figures: dict[str, Any]) -> str:
    """The whole page."""
    out = [HEAD, *(row(name, text) for name, text in figures["settings"].items()), summary(figures)]
    out.extend(choices(figures))
    for mode in ("dense", "lexical", "hybrid"):
        out.append(MODE.format(title={"dense": "Dense", "lexical": "Keyword", "hybrid": "Hybrid"}[mode]))
        for name, own in figures["sets"].items():
            out.extend(mode_rows(f"{name} {own['split']}", own["modes"][mode]))
    for name, own in figures["prefix"].items():
        if name == next(iter(figures["prefix"])):
            out.append(PREFIX.format(depth=own["depth"]))
        out.append(SET.format(name=name, vectors=own["vectors"], queries=own["queries"]))
        out.extend(prefix_row(cell) for cell in own["rows"])
        out.append(CODES.format(**own["scan_codes"], bits=own["rows"][0]["dim"] // 8))
    return "".join(out)


def summary(figures: dict[str, Any]) -> str:
    """How many of the comparisons came out how, by stage, at the defaults and at all strengths."""
    lines = [
        "\n## In short\n\n",
        "Outcomes over sets and modes, and the least and the greatest difference.\n\n",
        "| stage | comparisons | better | not worse | undecided | worse | differences |\n",
        "|---|---|---|---|---|---|---|\n",
    ]
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for own in figures["sets"].values():
        for mode in own["modes"].values():
            for name, cell in mode["tried"].items():
                by_stage.setdefault(name, []).append(cell)
    for name, cells in by_stage.items():
        counts = [sum(c["outcome"] == o for c in cells) for o in ("better", "not worse", "undecided", "worse")]
        differences = [c["difference"] for c in cells]
        lines.append(row(name, len(cells), *counts, f"{min(differences):+.4f} to {max(differences):+.4f}"))
    return "".join(lines)


def choices(figures: dict[str, Any]) -> list[str]:
    """What the training splits would choose, and what becomes of it."""
    rows: list[str] = []
    for name, own in figures["sets"].items():
        for mode, cells in own["modes"].items():
            if "train" not in cells:
                continue
            train = cells["train"]
            chosen, plain = train["chosen"], train["ndcg"]["plain"]
            test = cells["tried"][chosen]["difference"] if chosen in cells["tried"] else 0.0
            if not rows:
                rows.append(TRAIN.format(queries=train["queries"]))
            rows.append(row(name, mode, chosen, f"{train['ndcg'][chosen] - plain:+.4f}", f"{test:+.4f}"))
    return rows


def mode_rows(name: str, figures: dict[str, Any]) -> list[str]:
    """Plain search and every stage of one set."""
    plain = figures["plain"]
    rows = [row(name, "plain", f"{plain['ndcg']:.4f}", "", "", "", "", "", plain["ms"])]
    for stage, cell in figures["tried"].items():
        low, high = cell["interval"]
        rows.append(
            row(
                "",
                stage,
                f"{cell['ndcg']:.4f}",
                f"{cell['difference']:+.4f}",
                f"{low:+.4f} to {high:+.4f}",
                f"{cell['p']:g}",
                f"{cell['wins']} / {cell['losses']}",
                cell["outcome"],
                cell["ms"],
            )
        )
    return rows


def prefix_row(cell: dict[str, Any]) -> str:
    one, two = cell["one_stage"], cell["two_stage"]
    return row(
        cell["dim"],
        f"{cell['bytes']:,}",
        f"{one['recall']:.3f}",
        f"{two['recall']:.3f}",
        f"{one['ndcg']:.4f}",
        f"{two['ndcg']:.4f}",
        one["ms"],
        two["ms"],
    )


def row(*values: Any) -> str:
    return "| " + " | ".join(str(value) for value in values) + " |\n"
