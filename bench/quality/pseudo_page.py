"""The page on pseudo-queries, from the figures of bench/quality/pseudo.py."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "pseudo.md"

_OPENING = """# Pseudo-queries: what they can and cannot do

Written by `bench/quality/pseudo_page.py` from `bench/results/pseudo.json`; do not edit.

Without judgments, `gnomon eval KB --pseudo` asks for what is known to be there: headings, first
sentences, sampled sentences and keywords of the collection's own texts, each with its source as the only
right answer. Such queries share words with their source as no user's question does. So they can show that
something broke, and they cannot say which setting is better. The model here is {model}.
"""
_AGREEMENT = """
## They do not choose

nDCG@10 of the same settings by true judgments and by pseudo-queries, and how the two go together over the
settings of a set: Pearson's r and Kendall's tau. "Loss" is what the setting that the pseudo-queries
prefer costs against the best one, in true nDCG@10. Few settings a set make each correlation rough.
"""
_DAMAGE = """
## They detect breakage

One look asks {queries} queries of each kind, and compares how many sources are among the first ten with a
sound look at the same collection (`gnomon.evaluate.pseudo`: exact one-sided tests, together wrong in at
most 1 % of the looks). The table gives the share of {looks} looks that raised an alarm, with other
queries than the sound look had / with the same ones, as it is while the corpus stays nearly unchanged:
those are compared one by one, which sees far more.
"""
_GROWTH = """
Look at dense where vectors are in doubt: in a hybrid search the words still find the source, and most damage
to vectors goes unseen.

A corpus that grows makes every source harder to find, which is no breakage. A tenth of the documents added
after the sound look, dense mode:
"""
_CLOSING = """
## Shares found by sound collections

Recall of the source in the first ten.
"""


def page(figures: Mapping[str, Any]) -> str:
    """The whole page in Markdown."""
    agreement, damage, healthy = figures["agreement"], figures["damage"], figures["healthy"]
    parts = [_OPENING.format(model=figures["model"]), _AGREEMENT]
    parts.append(table(("set", "queries", "r", "tau", "chosen by pseudo-queries", "loss"), correlations(agreement)))
    for name, facts in agreement.items():
        parts.append(f"\n{name}: {facts['documents']} documents, {facts['queries']} judged queries, nDCG@10.\n")
        kinds = list(next(iter(facts["pseudo"].values())))
        rows = [(setting, true, *facts["pseudo"][setting].values()) for setting, true in facts["truth"].items()]
        parts.append(table(("setting", "true", *kinds), rows))
    parts.append(_DAMAGE.format(queries=figures["queries_a_kind"], looks=figures["looks"]))
    heads = [f"{name}, {mode}" for name, modes in damage.items() for mode in modes]
    columns = [rows for modes in damage.values() for rows in modes.values()]
    rows = [
        (kind, *(f"{both[kind]['alarms']:.2f} / {both[kind]['alarms_same_queries']:.2f}" for both in columns))
        for kind in columns[0]
    ]
    parts.append(table(("damage", *heads), rows))
    parts.append(_GROWTH)
    grown = figures["growth"].items()
    parts.append(
        table(
            ("set", "documents added", "alarms, other / same queries"),
            ((n, g["documents_added"], f"{g['alarms']:.2f} / {g['alarms_same_queries']:.2f}") for n, g in grown),
        )
    )
    parts.append(_CLOSING)
    parts.append(table(("set", "mode", "kind", "found"), shares(healthy)))
    return "\n".join(parts)


def correlations(agreement: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for name, facts in agreement.items():
        for kind, both in facts["correlation"].items():
            choice = facts["chosen"][kind]
            yield name, kind, both["pearson"], both["kendall"], choice["setting"], choice["loss"]


def shares(healthy: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for name, modes in healthy.items():
        for mode, kinds in modes.items():
            for kind, share in kinds.items():
                yield name, mode, kind, share


def table(heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    titles = list(heads)
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(json.loads((Path(__file__).parents[1] / "results" / "pseudo.json").read_text())))
