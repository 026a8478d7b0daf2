"""What answers are worth where nothing was chosen by the documents: three manuals, a product's documentation, COVID-QA.

    python -m bench outcomes [--folder WORK] [--name before] [SET ...]

Every question is asked with all documents there, and again with those left out that answer it. The questions to manuals
and what a right answer holds (bench/answers/questions) were written before any answer was seen. A run with `--name` is
kept in results/outcomes.json beside the others, so that another version of the package (its `src` as PYTHONPATH) is
measured with the same questions. Where a set is missing it is left out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gnomon
from bench import pages
from bench.answers.answers_sets import asked
from bench.data import DATA
from bench.record import RESULTS, write
from gnomon.answer import AskSettings, abstention, ask
from gnomon.answer.evaluation.evaluate import exclusion_condition
from gnomon.answer.evaluation.metrics import token_f1
from gnomon.answer.fitted import read_fitted
from gnomon.evaluate.datasets import load_dataset

QUESTIONS = Path(__file__).parent / "questions"
MANUALS = ("httpx", "llm", "git")
SAMPLES = {"rhdh_docs": 150, "covidqa": 200}


@dataclass(frozen=True)
class Posed:
    """A question, the documents that answer it, and what tells a right answer: a pattern, or the words of one."""

    text: str
    documents: frozenset[str]
    pattern: str = ""
    answer: str = ""


def main() -> None:
    """Measures, and writes the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=[*MANUALS, *SAMPLES])
    parser.add_argument("--folder", type=Path, default=Path("work"))
    parser.add_argument("--name", default="now")
    given = parser.parse_args()
    path = RESULTS / "outcomes.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    runs = {name: run for name, run in known.get("runs", {}).items() if name != given.name}
    runs[given.name] = {**known.get("runs", {}).get(given.name, {})}
    for name in given.sets:
        if (DATA / (f"docs/{name}.tar.gz" if name in MANUALS else name)).exists():
            runs[given.name][name] = measured(name, given.folder)
            fitted = read_fitted("abstention")
            write("outcomes", {"weights": fitted["weights"], "fitted": fitted["provenance"]["examples"], "runs": runs})
    if "now" in runs:
        pages.write("abstaining")


def manual(name: str, folder: Path) -> Path:
    """Where a manual's files lie, unpacked."""
    place = folder / "docs" / name
    if not place.is_dir():
        with tarfile.open(DATA / "docs" / f"{name}.tar.gz") as archive:
            archive.extractall(folder / "docs", filter="data")
        for page in place.rglob("*.html"):  # the same pages stand there as text
            page.with_suffix(".txt").unlink(missing_ok=True)
    return place


def of_manual(name: str, ids: Sequence[str]) -> list[Posed]:
    """The questions to a manual, with the ids that its pages have in a collection."""
    rows = map(json.loads, (QUESTIONS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        Posed(
            row["question"],
            frozenset(one for one in ids if any(f"/{one}".endswith(f"/{page}") for page in row["documents"])),
            row["pattern"],
        )
        for row in rows
    ]


def of_set(name: str) -> list[Posed]:
    """Questions of a public set, drawn at random, the same at every call."""
    judged, answers = load_dataset(DATA / name, split="test"), asked(name).answers
    names = sorted(judged.judged)
    random.Random(0).shuffle(names)
    return [
        Posed(
            judged.judged[key],
            frozenset(document for document, grade in judged.relevant[key].items() if grade > 0),
            answer=answers[key],
        )
        for key in names[: SAMPLES[name]]
    ]


def measured(name: str, folder: Path) -> dict[str, Any]:
    """A set's figures."""
    place = folder / "kb" / name
    if not place.is_dir():
        with gnomon.open(place) as kb:
            kb.index([manual(name, folder) if name in MANUALS else DATA / name])
    with gnomon.open(place) as kb:
        rows = list(_rows(kb, of_manual(name, kb.ids()) if name in MANUALS else of_set(name)))
    plainly = getattr(abstention, "ANSWER_THRESHOLD", abstention.THRESHOLD)
    return summary(rows, abstention.THRESHOLD, plainly)


def _rows(kb: gnomon.Collection, questions: Sequence[Posed]) -> Iterator[dict[str, Any]]:
    """For each question the confidence with and without its documents, and whether what is quoted is right.

    Nothing is abstained on here, so that what a threshold would do can be told for each.
    """
    for one in questions:
        answer = ask(kb, one.text, settings=AskSettings(abstain_below=0.0))
        gone = exclusion_condition(sorted(one.documents), None)
        without = ask(kb, one.text, settings=AskSettings(abstain_below=1.0, where=gone))
        right = any(
            cited.document in one.documents and re.search(one.pattern, sentence.text)
            for sentence in answer.sentences
            for cited in sentence.citations
        )
        row = {
            "confidence": round(answer.confidence, 3),
            "without": round(without.confidence, 3),
            "right": right,
            "shown": any(passage.document in one.documents for passage in answer.passages),
        }
        if one.answer:
            row["token_f1"] = round(token_f1(answer.text, one.answer), 4)
        yield row


def summary(rows: Sequence[dict[str, Any]], threshold: float, plainly: float) -> dict[str, Any]:
    """Shares of the questions, and of those plainly answered the share that is right."""

    def share(flags: Sequence[bool]) -> float | None:
        return round(sum(flags) / len(flags), 4) if flags else None

    answered = [row for row in rows if row["confidence"] >= plainly]
    figures = {
        "questions": len(rows),
        "threshold": threshold,
        "answer_threshold": plainly,
        "passage_shown": share([row["shown"] for row in rows]),
        "answered": share([row["confidence"] >= plainly for row in rows]),
        "answered_or_possible": share([row["confidence"] >= threshold for row in rows]),
        "right_of_answered": share([row["right"] for row in answered]),
        "right_of_all": share([row["right"] for row in rows]),
        "without_refused": share([row["without"] < threshold for row in rows]),
        "without_refused_or_possible": share([row["without"] < plainly for row in rows]),
        "auc": round(_auc([row["confidence"] for row in rows], [row["without"] for row in rows]), 4),
    }
    if "token_f1" in rows[0]:
        figures["token_f1"] = round(sum(row["token_f1"] for row in rows) / len(rows), 4)
    return {**figures, "rows": [[row["confidence"], row["without"], int(row["right"])] for row in rows]}


def _auc(there: Sequence[float], gone: Sequence[float]) -> float:
    """How often a question with its documents scores above one without (Mann and Whitney 1947)."""
    pairs = [(a > b) + 0.5 * (a == b) for a in there for b in gone]
    return sum(pairs) / len(pairs)


if __name__ == "__main__":
    main()
