"""What the figures of docs/encoders.md are made of, from `train_kinds.py` and `encoders.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SHOWN = (
    "evidence@10",
    "evidence shown",
    "token F1",
    "F1 of first sentence",
    "citations of evidence",
    "citation precision",
)
Results = dict[str, Any]


def context(results: Callable[[str], Any]) -> dict[str, Any]:
    """The rows of its tables, and verdicts in words."""
    kinds, encoders = results("train_kinds"), results("encoders")
    stages = (kinds or {}).get("stages", {})
    made: dict[str, Any] = {"trained": []}
    if {"shared", "dual"} <= set(stages):
        made["trained"] = [_trained("one", stages["shared"]), _trained("two", stages["dual"])]
    if encoders:
        search, beside = encoders["search"], encoders.get("beside", "")
        made |= {
            "served": _served(encoders),
            "answer_heads": ("figure", "one", "two", *([beside] if beside else [])),
            "answers": _answers(encoders),
            "verdicts": {mode: _verdict(search["modes"][mode]["verdict"]) for mode in ("dense", "hybrid")}
            | {"answers": _verdict(encoders["answers"]["verdict"])},
            "measured": "; ".join(
                f"`bench/results/{one['benchmark']}.json`, {one['when'][:10]}, {one['commit']}"
                for one in (kinds, encoders)
                if one
            ),
        }
    return made


def _trained(name: str, one: Results) -> tuple[Any, ...]:
    gain, minutes = one["gains"][0], round(one["whole_cpu_s"] / 60)
    return name, one["examples"], one["steps"], minutes, f"{gain['start']:.4f}", f"{gain['end']:.4f}"


def _served(found: Results) -> list[tuple[Any, ...]]:
    """Cost, and the figures of search."""
    search, rows = found["search"], list[tuple[Any, ...]]()
    titles = {"shared": "one", "dual": "two", "beside": found.get("beside", "")}
    for name, model in found["models"].items():
        cells = [_interval(search["modes"][mode]["scores"][name]) for mode in ("dense", "hybrid")]
        cost = (model["mb"], model["question_ms"], search["index"][name].get("cpu_s", ""))
        rows.append((titles[name], *cost, *cells))
    if "lexical" in search:
        rows.append(("words alone (BM25)", "", "", "", "", _interval(search["lexical"])))
    return rows


def _answers(found: Results) -> list[tuple[Any, ...]]:
    columns = [{score["metric"]: score for score in found["answers"]["scores"][name]} for name in found["models"]]
    return [
        (metric, *(_interval(column[metric]) for column in columns))
        for metric in SHOWN
        if all(metric in column for column in columns)
    ]


def _verdict(found: Results) -> str:
    """A verdict on two against one, in words."""
    words = str(found["explained"])
    return words.replace("dual is", "two are").replace("shared", "one").replace("dual", "two")


def _interval(score: Results) -> str:
    """0.312 (0.301 to 0.323)."""
    return f"{score['mean']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
