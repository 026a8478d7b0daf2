"""The figures of docs/encoders.md, from results/train_kinds.json and results/encoders.json.

    python -m bench encoders_page

Figures that are not there are named as not measured. Measures nothing itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "encoders.md"
BEGIN, END = "<!-- figures: bench/quality/encoders_page.py writes from here -->\n", "<!-- figures: to here -->\n"
SHOWN = (
    "evidence@10",
    "evidence shown",
    "token F1",
    "F1 of first sentence",
    "citations of evidence",
    "citation precision",
)
Results = dict[str, Any]

TRAINED = """
The two recipes above, from random weights, on the train split of InsuranceQA; the report's own look at the
dev split: {queries} questions over all documents, by meaning alone.

| | examples | steps | CPU minutes | nDCG@10 before | after |
|---|---|---|---|---|---|
"""
SERVED = """
Served, and compared on all {queries:,} dev questions of InsuranceQA. *Weights* are on disk; a question is
encoded on one thread.

| | weights, MB | question, ms | index, CPU s | by meaning, nDCG@10 | hybrid |
|---|---|---|---|---|---|
"""
ANSWERS = """
Answers to {questions:,} questions of CovidQA, sentences quoted, no question refused. Neither of the two has
seen a text of this kind in training.

| figure | one | two |{beside}
|---|---|---|{line}
"""


def main() -> None:
    """Write the page's part between its marks."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_figures(page, read("train_kinds"), read("encoders")), encoding="utf-8")


def read(name: str, folder: Path = RESULTS) -> Results:
    """What a benchmark found; nothing where it did not run."""
    path = folder / f"{name}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def with_figures(page: str, kinds: Results, encoders: Results) -> str:
    """The page with what was measured."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{figures(kinds, encoders)}\n{END}{after}"


def figures(kinds: Results, encoders: Results) -> str:
    """Training, search and answers; what is not there is named."""
    stages = kinds.get("stages", {})
    out = []
    if {"shared", "dual"} <= set(stages):
        out.append(trained(stages["shared"], stages["dual"]))
    else:
        out.append("\nTraining: not measured; run `python -m bench train_kinds --stages shared,dual`.\n")
    if encoders:
        out += [served(encoders), answered(encoders), made((kinds, encoders))]
    else:
        out.append("\nSearch and answers: not measured; run `python -m bench encoders`.\n")
    return "".join(out)


def trained(shared: Results, dual: Results) -> str:
    """What training both took and gave."""
    out = [TRAINED.format(queries=600)]
    for name, one in (("one", shared), ("two", dual)):
        gain = one["gains"][0]
        minutes = round(one["whole_cpu_s"] / 60)
        numbers = (one["examples"], one["steps"], minutes, f"{gain['start']:.4f}", f"{gain['end']:.4f}")
        out.append(row((name, *numbers)))
    return "".join(out)


def served(found: Results) -> str:
    """Cost, and the figures of search with their verdicts."""
    search = found["search"]
    out = [SERVED.format(queries=search["queries"])]
    for name, model in found["models"].items():
        cells = [interval(search["modes"][mode]["scores"][name]) for mode in ("dense", "hybrid")]
        cost = (model["mb"], model["question_ms"], search["index"][name].get("cpu_s", ""))
        out.append(row((title(name, found), *cost, *cells)))
    if "lexical" in search:
        out.append(row(("words alone (BM25)", "", "", "", "", interval(search["lexical"]))))
    for mode, said in (("dense", "By meaning alone"), ("hybrid", "Hybrid")):
        out.append(f"\n{said}: {verdict(search['modes'][mode]['verdict'])}\n")
    return "".join(out)


def answered(found: Results) -> str:
    """The figures of answers with their verdict."""
    answers = found["answers"]
    beside = found.get("beside", "")
    out = [
        ANSWERS.format(
            questions=answers["questions"],
            beside=f" {beside} |" if beside else "",
            line="---|" if beside else "",
        )
    ]
    columns = [{score["metric"]: score for score in answers["scores"][name]} for name in found["models"]]
    for metric in SHOWN:
        if all(metric in column for column in columns):
            out.append(row((metric, *(interval(column[metric]) for column in columns))))
    return "".join(out) + f"\nToken F1: {verdict(answers['verdict'])}\n"


def verdict(found: Results) -> str:
    """A verdict on two against one, in words."""
    said = str(found["explained"])
    return said.replace("dual is", "two are").replace("shared", "one").replace("dual", "two")


def interval(score: Results) -> str:
    """0.312 (0.301 to 0.323)."""
    return f"{score['mean']:.3f} ({score['low']:.3f} to {score['high']:.3f})"


def title(name: str, found: Results) -> str:
    """What a model is called here."""
    return str({"shared": "one", "dual": "two", "beside": found.get("beside", "")}[name])


def made(found: Iterable[Results]) -> str:
    """When, and from which commits."""
    ran = [f"`bench/results/{one['benchmark']}.json`, {one['when'][:10]}, {one['commit']}" for one in found if one]
    return f"\nFrom {'; '.join(ran)}.\n"


def row(cells: Iterable[Any]) -> str:
    """A line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |\n"


if __name__ == "__main__":
    main()
