"""What docs/answers.md is made of, from the figures of `answers.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

ANSWER_HEADS = ("set", "quoted", "words", "token F1", "exact match", "F1 above first sentence", "p", "better / worse")


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """Tables, the test set first."""
    figures = results("answers")
    sets = figures["sets"]
    ordered = [figures["test"], *(name for name in sets if name != figures["test"])]
    return {
        "evidence": [_evidence(name, sets[name]) for name in ordered],
        "words": ", ".join(f"{sets[name]['answer_words']:g} in {name}" for name in ordered),
        "answer_heads": ANSWER_HEADS,
        "answer_rows": [row for name in ordered for row in _answers(name, sets[name]["answers"])],
        "citations": [
            f"{name}: {sets[name]['answers']['citations']:,} citations in default answers, of which "
            f"{sets[name]['answers']['citations_wrong']} do not stand word for word where they point; "
            f"{sets[name]['answers']['sentences']:g} sentences an answer."
            for name in ordered
        ],
    }


def _evidence(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (how, _figure(own["success@10"]), *(f"{own[metric][0]:.3f}" for metric in list(own)[1:]))
        for how, own in facts["evidence"].items()
    ]
    heads = ("setting", *next(iter(facts["evidence"].values())))
    title = f"{name}: {facts['documents']:,} documents, {facts['questions']:,} questions"
    return {"title": title, "heads": heads, "rows": rows}


def _answers(name: str, own: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    for how, means in own["means"].items():
        against = own["against_first"].get(how)
        gain = f"{against['mean']:+.3f} [{against['low']:+.3f}, {against['high']:+.3f}]" if against else ""
        p, wins = (f"{against['p']:.1g}", f"{against['better']} / {against['worse']}") if against else ("", "")
        exact = f"{means['exact_match'][0]:.4f}"
        yield name, how, f"{own['words'][how]:.0f}", _figure(means["token_f1"]), exact, gain, p, wins


def _figure(own: list[float]) -> str:
    return f"{own[0]:.3f} [{own[1]:.3f}, {own[2]:.3f}]"
