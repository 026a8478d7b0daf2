"""Extractive answers on covidqa: is the evidence found, and how near do quoted sentences come to the answers?

    python -m bench answers [--folder WORK]

covidqa is the test set: nothing was chosen by it. What the settings are tuned on (rhdh_docs, xquad/en) is
measured beside it. Collections are kept in the work folder, so that a second run embeds sentences only.
Writes results/answers.json and docs/answers.md.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import pages
from bench.answers.answers_sets import SETS, Asked, asked, retrieval
from bench.data import DATA
from bench.quality.pseudo_sets import Once
from bench.quality.stages_sets import Corpus
from bench.record import RESULTS, write
from gnomon.answer.context import select_passages
from gnomon.answer.evaluation.metrics import exact_match, token_f1
from gnomon.answer.extractive import extract_sentences
from gnomon.answer.settings import AskSettings
from gnomon.answer.types import Passage, Sentence
from gnomon.answer.verification.spans import split_segments
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.ranking import Query
from gnomon.evaluate.metrics import summary
from gnomon.evaluate.significance import mean_intervals, sign_flip_p
from gnomon.text.sentences import sentences

TEST, DEVELOPMENT = "covidqa", ("rhdh_docs", "xquad/en")
EVIDENCE = ("success@10", "success@5", "success@1", "nDCG@10")
BLOCK = 64
RECORD = RESULTS / "answers.json"


@dataclass(frozen=True)
class Given:
    """A question's passages, and the text of the best chunk alone."""

    passages: tuple[Passage, ...]
    top: str


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--only", help="take the figures of these sets anew, and keep the others")
    arguments.add_argument("--most", type=int, help="try out the first questions; writes nothing")
    given = arguments.parse_args()
    figures: dict[str, Any] = {"test": TEST, "sets": {}}
    if given.only:
        known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else figures
        figures = {name: known[name] for name in figures}
    for name in given.only.split(",") if given.only else [TEST, *DEVELOPMENT]:
        figures["sets"][name] = figures_of(name, given.folder, given.most)
        if given.most:
            print(json.dumps(figures["sets"][name], indent=1))
        else:
            write("answers", figures)
            pages.write("answers")


def figures_of(name: str, folder: Path, most: int | None = None) -> dict[str, Any]:
    """Evidence found by each setting, and answers with the default one."""
    corpus, data = Corpus(name, folder), asked(name, most)
    queries = corpus.asked(SETS[name], len(data.questions))
    evidence: dict[str, Any] = {}
    for title, (mode, settings) in retrieval().items():
        run = corpus.run(title, corpus.retriever(mode, settings, queries), queries)
        evidence[title] = {
            score.metric: [round(score.mean, 4), round(score.low, 4), round(score.high, 4)]
            for score in summary(run, queries.relevant, EVIDENCE)
        }
    retriever = corpus.retriever("hybrid", RetrievalSettings(), queries)
    found = passages_of(corpus, retriever, data)
    encoder = Once(corpus.kb.encoder)
    known = {piece for one in found.values() for p in one.passages for piece in parts(p.text)}
    encoder.encode(sorted(known, key=len), role="document")
    encoder.encode(list(data.questions.values()), role="query")
    status = corpus.kb.status()
    return {
        "documents": status.documents,
        "chunks": status.chunks,
        "questions": len(data.questions),
        "answer_words": float(np.median([len(answer.split()) for answer in data.answers.values()])),
        "evidence": evidence,
        "answers": answers(data, found, encoder, corpus=corpus),
    }


def parts(text: str) -> list[str]:
    return [text[start:end] for start, end in split_segments(text)]


def passages_of(corpus: Corpus, retriever: Any, data: Asked) -> dict[str, Given]:
    """What `gnomon ask` would choose, question by question."""
    settings = AskSettings().context
    found: dict[str, Given] = {}
    items = list(data.questions.items())
    for at in range(0, len(items), BLOCK):
        block = items[at : at + BLOCK]
        rankings = retriever([Query(text) for _, text in block], k=settings.candidates)
        for (name, text), ranking in zip(block, rankings, strict=True):
            top = corpus.kb.hits(text, ranking, k=1)[0].text
            found[name] = Given(select_passages(corpus.kb, ranking, settings), top)
    return found


def answers(data: Asked, found: Mapping[str, Given], encoder: Once, *, corpus: Corpus) -> dict[str, Any]:
    """Token F1 and exact match of quoted sentences, against quoting the first sentence of the best chunk."""
    said: dict[str, dict[str, str]] = {
        "first sentence of the best chunk": {},
        "one sentence": {},
        "default": {},
    }
    wrong, quoted, seconds = 0, 0, 0.0
    for name, one in found.items():
        question, most = data.questions[name], AskSettings().sentences
        started = time.process_time()
        best = extract_sentences(question, one.passages, encoder, sentences=most, text_of=corpus.kb.text)
        seconds += time.process_time() - started
        wrong += sum(not stands(sentence, corpus) for sentence in best)
        quoted += len(best)
        alone = extract_sentences(question, one.passages, encoder, sentences=1, text_of=corpus.kb.text)
        said["first sentence of the best chunk"][name] = sentences(one.top)[0]
        said["one sentence"][name] = " ".join(sentence.text for sentence in alone)
        said["default"][name] = " ".join(sentence.text for sentence in best)
    scores = {
        how: {
            "token_f1": [token_f1(text, data.answers[name]) for name, text in texts.items()],
            "exact_match": [exact_match(text, data.answers[name]) for name, text in texts.items()],
        }
        for how, texts in said.items()
    }
    first = np.array(scores["first sentence of the best chunk"]["token_f1"])
    return {
        "means": {how: {kind: interval(values) for kind, values in own.items()} for how, own in scores.items()},
        "words": {how: float(np.mean([len(t.split()) for t in texts.values()])) for how, texts in said.items()},
        "against_first": {how: difference(np.array(own["token_f1"]) - first) for how, own in list(scores.items())[1:]},
        "sentences": round(quoted / max(1, len(found)), 3),
        "citations": quoted,
        "citations_wrong": wrong,
        "cpu_ms_a_question": round(1000 * seconds / max(1, len(found)), 1),
    }


def stands(sentence: Sentence, corpus: Corpus) -> bool:
    """Whether every citation is the document's own text, and says what the sentence says word for word."""
    return all(
        (corpus.kb.text(cited.document) or "")[cited.start : cited.end] == cited.quote == sentence.text
        for cited in sentence.citations
    )


def interval(values: list[float]) -> list[float]:
    low, high = mean_intervals(np.array(values)[:, None])[0]
    return [round(float(np.mean(values)), 4), round(low, 4), round(high, 4)]


def difference(values: Any) -> dict[str, Any]:
    """The mean difference with its 95 % interval and the paired randomisation test's p."""
    low, high = mean_intervals(values[:, None], limits=(-1.0, 1.0))[0]
    return {
        "mean": round(float(values.mean()), 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "p": sign_flip_p(values),
        "better": int((values > 0).sum()),
        "worse": int((values < 0).sum()),
    }


if __name__ == "__main__":
    if not DATA.is_dir():
        raise SystemExit(f"{DATA} is missing: set GNOMON_DATA to a folder of BEIR-style data sets")
    main()
