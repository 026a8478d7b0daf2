"""What docs/stages.md is made of, from the figures of `stages.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Row = tuple[Any, ...]


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables."""
    figures = results("stages")
    sets = figures["sets"]
    trained = [mode["train"] for own in sets.values() for mode in own["modes"].values() if "train" in mode]
    return {
        "summary": list(_summary(sets)),
        "choices": list(_choices(sets)),
        "choice_queries": trained[0]["queries"] if trained else 0,
        "modes": {
            mode: [
                row for name, own in sets.items() for row in _mode_rows(f"{name} {own['split']}", own["modes"][mode])
            ]
            for mode in ("dense", "lexical", "hybrid")
        },
        "prefixes": {name: [_prefix_row(cell) for cell in own["rows"]] for name, own in figures["prefix"].items()},
    }


def _summary(sets: dict[str, Any]) -> Iterator[Row]:
    """How many of the comparisons came out how, by stage."""
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for own in sets.values():
        for mode in own["modes"].values():
            for name, cell in mode["tried"].items():
                by_stage.setdefault(name, []).append(cell)
    for name, cells in by_stage.items():
        counts = [sum(c["outcome"] == o for c in cells) for o in ("better", "not worse", "undecided", "worse")]
        differences = [c["difference"] for c in cells]
        yield (name, len(cells), *counts, f"{min(differences):+.4f} to {max(differences):+.4f}")


def _choices(sets: dict[str, Any]) -> Iterator[Row]:
    """What the training splits would choose, and what becomes of it."""
    for name, own in sets.items():
        for mode, cells in own["modes"].items():
            if "train" in cells:
                train = cells["train"]
                chosen, plain = train["chosen"], train["ndcg"]["plain"]
                test = cells["tried"][chosen]["difference"] if chosen in cells["tried"] else 0.0
                yield name, mode, chosen, f"{train['ndcg'][chosen] - plain:+.4f}", f"{test:+.4f}"


def _mode_rows(name: str, figures: dict[str, Any]) -> Iterator[Row]:
    """Plain search and every stage of one set."""
    plain = figures["plain"]
    yield name, "plain", f"{plain['ndcg']:.4f}", "", "", "", "", "", plain["ms"]
    for stage, cell in figures["tried"].items():
        low, high = cell["interval"]
        change = (f"{cell['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}", f"{cell['p']:g}")
        yield (
            "",
            stage,
            f"{cell['ndcg']:.4f}",
            *change,
            f"{cell['wins']} / {cell['losses']}",
            cell["outcome"],
            cell["ms"],
        )


def _prefix_row(cell: dict[str, Any]) -> Row:
    one, two = cell["one_stage"], cell["two_stage"]
    both = [f"{own[key]:{form}}" for key, form in (("recall", ".3f"), ("ndcg", ".4f")) for own in (one, two)]
    return (cell["dim"], f"{cell['bytes']:,}", *both, one["ms"], two["ms"])
