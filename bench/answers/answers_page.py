"""The page on extractive answers, from the figures of bench/answers/answers.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "answers.md"

_OPENING = """# Extractive answers

Written by `bench/answers/answers_page.py` from `bench/results/answers.json`; do not edit.

Without a language model `gnomon ask` quotes the sentences of its passages that answer best. Model:
all-MiniLM-L6-v2. Intervals are 95 % (BCa bootstrap, widened as for verdicts), p-values those of the paired
randomisation test. `covidqa` is the test set: no weight, threshold or setting was chosen by it. The weights
of the sentences, their number and the margin were fitted on `rhdh_docs` and `xquad/en`, whose figures are
therefore too good; they stand here for comparison.
"""
_EVIDENCE = """
## Is the evidence among the first ten?

Share of the questions for which a document that holds the answer is among the first ten, as `gnomon search`
finds them. Users get "hybrid (default)"; the others show what else there is, and none was chosen by this
table.
"""
_ANSWERS = """
## How near do quotes come to the answers?

Token F1 and exact match as SQuAD measures them. Long answers cannot be matched by short quotes, nor short
ones by whole sentences: answers have {words} words at the median. "First sentence" is that of the best
chunk, "default" at most two sentences.
"""


def page(figures: Mapping[str, Any]) -> str:
    """The whole page in Markdown."""
    sets = figures["sets"]
    ordered = [figures["test"], *(name for name in sets if name != figures["test"])]
    parts = [_OPENING, _EVIDENCE]
    for name in ordered:
        facts = sets[name]
        parts.append(f"### {name}: {facts['documents']:,} documents, {facts['questions']:,} questions\n")
        rows = [
            (how, _figure(own["success@10"]), *(f"{own[metric][0]:.3f}" for metric in list(own)[1:]))
            for how, own in facts["evidence"].items()
        ]
        parts.append(table(("setting", *next(iter(facts["evidence"].values()))), rows))
    words = ", ".join(f"{sets[name]['answer_words']:g} in {name}" for name in ordered)
    parts.append(_ANSWERS.format(words=words))
    heads = (
        "set",
        "quoted",
        "words",
        "token F1",
        "exact match",
        "F1 above first sentence",
        "p",
        "better / worse",
    )
    parts.append(table(heads, (row for name in ordered for row in _answers(name, sets[name]["answers"]))))
    parts += [
        f"{name}: {sets[name]['answers']['citations']:,} citations in default answers, of which "
        f"{sets[name]['answers']['citations_wrong']} do not stand word for word where they point; "
        f"{sets[name]['answers']['sentences']:g} sentences an answer.\n"
        for name in ordered
    ]
    return "\n".join(parts)


def _answers(name: str, own: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for how, means in own["means"].items():
        against = own["against_first"].get(how)
        gain = f"{against['mean']:+.3f} [{against['low']:+.3f}, {against['high']:+.3f}]" if against else ""
        p, wins = (f"{against['p']:.1g}", f"{against['better']} / {against['worse']}") if against else ("", "")
        exact = f"{means['exact_match'][0]:.4f}"
        yield name, how, f"{own['words'][how]:.0f}", _figure(means["token_f1"]), exact, gain, p, wins


def _figure(own: list[float]) -> str:
    return f"{own[0]:.3f} [{own[1]:.3f}, {own[2]:.3f}]"


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    titles = list(heads)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(json.loads((Path(__file__).parents[1] / "results" / "answers.json").read_text())))
