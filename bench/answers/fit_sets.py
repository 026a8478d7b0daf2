"""What the confidence and the choice of quotes are fitted to: four manuals and four public sets.

    python -m bench fit_sets --manuals FOLDER [--folder WORK] [SET ...]

FOLDER holds the pages of `postgresql` (Debian's postgresql-doc-15, its html), `python` (python3.11-doc: library, howto,
tutorial, faq), `policy` (debian-policy, with debian-faq as faq and developers-reference as devref) and `starlette` (the
docs of its source distribution). No set here is one that `python -m bench outcomes` measures. Writes
WORK/signals/SET.json for tools/fit/abstention.py, and WORK/extraction.jsonl for tools/fit/extraction.py.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.fit.abstention import WHOLE

import gnomon
from bench.answers.answers_sets import asked
from bench.answers.outcomes import Posed, of_manual
from bench.data import DATA
from bench.quality.pseudo_sets import Once
from gnomon.answer import AskSettings
from gnomon.answer.abstention import SIGNAL_NAMES, compute_signals
from gnomon.answer.context import select_passages
from gnomon.answer.evaluation.evaluate import exclusion_condition
from gnomon.answer.extractive import passage_spans, sentence_features
from gnomon.answer.query_rewriting import retrieve
from gnomon.answer.types import Passage
from gnomon.evaluate.datasets import load_dataset

MANUALS = ("postgresql", "python", "policy", "starlette")
PUBLIC = {"xquad/en": "test", "insuranceqa": "train", "scifact": "train", "cosqa": "dev"}
QUESTIONS, DOCUMENTS = 60, 4000
"""Questions of each public set, and documents: theirs, and others drawn at random."""
REMOVED = "document removed"


@dataclass(frozen=True)
class _Example:
    """A question's signals by the kind of corpus, whether its evidence is shown, and what may be quoted."""

    question: str
    signals: dict[str, list[float]]
    shown: bool
    table: list[list[float]]
    right: list[bool]


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", default=[*MANUALS, *PUBLIC])
    parser.add_argument("--manuals", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=Path("work"))
    given = parser.parse_args()
    (given.folder / "signals").mkdir(parents=True, exist_ok=True)
    encoder = Once(gnomon.load_encoder("all-MiniLM-L6-v2"))
    with (given.folder / "extraction.jsonl").open("w", encoding="utf-8") as quotes:
        for name in given.sets:
            label = name.replace("/", "_")
            with gnomon.open(given.folder / "kb" / label, encoder=encoder) as kb:
                questions = _public(kb, name) if name in PUBLIC else _manual(kb, given.manuals / name)
                examples = list(_examples(kb, questions))
            (given.folder / "signals" / f"{label}.json").write_text(json.dumps(_signals(examples)))
            for one in examples:
                if any(one.right):
                    row = {"source": label, "table": one.table, "right": one.right}
                    quotes.write(json.dumps(row) + "\n")


def _manual(kb: gnomon.Collection, folder: Path) -> list[Posed]:
    kb.index([folder])
    return [one for one in of_manual(folder.name, kb.ids()) if one.documents]


def _public(kb: gnomon.Collection, name: str) -> list[Posed]:
    dataset, draws = load_dataset(DATA / name, split=PUBLIC[name]), random.Random(1)
    keys = draws.sample(sorted(dataset.judged), QUESTIONS)
    relevant = {key: {document for document, grade in dataset.relevant[key].items() if grade > 0} for key in keys}
    if not len(kb):
        kb.index([DATA / name])
        others = sorted(set(kb.ids()).difference(*relevant.values()))
        draws.shuffle(others)
        kb.remove(others[DOCUMENTS:])
    answers = asked(name).answers if name == "xquad/en" else {}
    return [
        Posed(dataset.judged[key], frozenset(relevant[key]), re.escape(answers.get(key, "")) or "(?!)") for key in keys
    ]


def _examples(kb: gnomon.Collection, questions: Sequence[Posed]) -> Iterator[_Example]:
    for one in questions:
        settings = AskSettings()
        without = replace(settings, where=exclusion_condition(sorted(one.documents), None))
        passages, signals = _found(kb, one.text, settings)
        if not passages:
            continue
        spans = passage_spans(passages, kb.encoder, language=kb.version.retrieval.language, text_of=kb.text)
        quoted = [spans.spans[at] for at in spans.segments]
        right = [
            passages[span.passage].document in one.documents and bool(re.search(one.pattern, spans.text(span)))
            for span in quoted
        ]
        table = sentence_features(one.text, spans).round(5).tolist() if quoted else []
        shown = any(passage.document in one.documents for passage in passages)
        kinds = {WHOLE: signals, REMOVED: _found(kb, one.text, without)[1]}
        yield _Example(one.text, kinds, shown, table, right)


def _found(kb: gnomon.Collection, question: str, settings: AskSettings) -> tuple[tuple[Passage, ...], list[float]]:
    ranking = retrieve(kb, question, settings)
    passages = select_passages(kb, ranking, settings.context)
    return passages, compute_signals(kb, question, ranking, passages=passages).row().tolist()


def _signals(examples: Sequence[_Example]) -> dict[str, Any]:
    """As tools/fit/abstention.py reads them."""
    return {
        "questions": [one.question for one in examples],
        "names": SIGNAL_NAMES,
        "signals": {kind: [one.signals[kind] for one in examples] for kind in (WHOLE, REMOVED)},
        "evidence": {WHOLE: [one.shown for one in examples], REMOVED: [False] * len(examples)},
    }


if __name__ == "__main__":
    main()
