"""Signals of questions with their documents there and with them taken away, for bench/answers/abstain.py.

Nothing is indexed again: the documents are taken away by restricting the search to all others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tools.fit.abstention import FOREIGN, WHOLE

import gnomon
from bench.data import DATA
from bench.quality.pseudo_sets import Once
from gnomon.answer.abstention import SIGNAL_NAMES, Signals, compute_signals
from gnomon.answer.context import select_passages
from gnomon.answer.settings import ContextSettings
from gnomon.collection.search import build_retriever
from gnomon.core.ranking import Query, Ranking
from gnomon.evaluate.datasets import load_dataset
from gnomon.evaluate.judgments import DataSet

DOCUMENT, ARTICLE = "document removed", "article removed"
FOREIGN_QUESTIONS = 150
SCORES = ("fused", "cosine", "bm25")
"""What a threshold is set on in the simplest case: the best of each, with the fused score first."""


@dataclass(frozen=True)
class Case:
    """A set: its split, how many questions, and what ends an article's name in its documents' ids."""

    name: str
    split: str
    questions: int
    article: str = ""
    other: tuple[str, str] = ("xquad/en", "test")
    """A set and split with questions that this one has no answers to."""

    @property
    def label(self) -> str:
        """As a file is named."""
        return self.name.replace("/", "_")


DEVELOPMENT = (
    Case("rhdh_docs", "test", 250, "#"),
    Case("xquad/en", "test", 250, "-", other=("rhdh_docs", "test")),
    Case("insuranceqa", "train", 150),
    Case("scifact", "train", 150),
    Case("cranfield", "test", 150),
)
TEST = Case("covidqa", "test", 1380, "-")


@dataclass(frozen=True, eq=False)
class Asked:
    """A set's questions: for each kind of corpus a row of signals a question, and the simple scores."""

    questions: list[str]
    signals: dict[str, Any]
    scores: dict[str, Any]
    evidence: dict[str, Any]
    """Whether a passage holds a relevant chunk."""

    def with_more(self, other: Asked) -> Asked:
        """Both; of another set's questions, which are the same, once."""
        joined = {
            part: {
                kind: rows if kind == FOREIGN else np.concatenate([rows, getattr(other, part)[kind]])
                for kind, rows in getattr(self, part).items()
            }
            for part in _PARTS
        }
        return Asked([*self.questions, *other.questions], **joined)

    def save(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = {
            "questions": self.questions,
            "names": SIGNAL_NAMES,
            **{part: {k: v.tolist() for k, v in getattr(self, part).items()} for part in _PARTS},
        }
        path.write_text(json.dumps(plain))

    @classmethod
    def load(cls, path: Path) -> Asked | None:
        """What was saved; None where there is nothing, or other signals than there are now."""
        if not path.is_file():
            return None
        plain = json.loads(path.read_text())
        if tuple(plain["names"]) != SIGNAL_NAMES:
            return None
        parts = {part: {k: np.array(v) for k, v in plain[part].items()} for part in _PARTS}
        return cls(plain["questions"], **parts)


_PARTS = ("signals", "scores", "evidence")


def asked(case: Case, mode: Any, folder: Path) -> Asked:
    """Every question of the sample against each kind of corpus, from a file if that was done before."""
    path = folder / "abstain" / f"{case.label}.{mode}.json"
    known = Asked.load(path)
    dataset = load_dataset(DATA / case.name, split=case.split)
    wanted = sampled(dataset, case.questions)
    if known is not None:
        wanted = [name for name in wanted if name not in known.questions]
    if known is not None and not wanted:
        return known
    with gnomon.open(folder / case.label) as kb:
        kb.index([DATA / case.name])
    encoder = Once(gnomon.load_encoder("all-MiniLM-L6-v2"))
    with gnomon.open(folder / case.label, encoder=encoder) as kb:
        made = _ask(kb, encoder, dataset, case=case, mode=mode, wanted=wanted)
    if known is not None:
        made = known.with_more(made)
    made.save(path)
    return made


def sampled(dataset: DataSet, count: int) -> list[str]:
    """Questions drawn at random, the same at every call."""
    every = sorted(dataset.judged)
    random.Random(0).shuffle(every)
    return every[:count]


def _ask(
    kb: gnomon.Collection, encoder: Once, dataset: DataSet, *, case: Case, mode: Any, wanted: Sequence[str]
) -> Asked:
    taker = _Taker.of(kb, case)
    view = kb.internals.indexes
    retriever = build_retriever(mode, kb.version.retrieval, encoder=encoder, dense=view.dense, lexical=view.lexical)
    rows: dict[str, dict[str, list[Any]]] = {part: {} for part in _PARTS}

    def look(kind: str, text: str, gold: set[int], *, gone: set[int]) -> None:
        ranking = retriever([Query(text, taker.left(gone) if gone else None)], k=30)[0]
        passages = select_passages(kb, ranking, ContextSettings())
        held = any(chunk in gold for passage in passages for chunk in passage.chunk_ids)
        found = (_numbers(compute_signals(kb, text, ranking, passages=passages)), _best(ranking), held)
        for part, value in zip(_PARTS, found, strict=True):
            rows[part].setdefault(kind, []).append(value)

    for name in wanted:
        relevant = [document for document, grade in dataset.relevant[name].items() if grade > 0]
        for kind, gone in taker.removals(relevant):
            look(kind, dataset.judged[name], taker.chunks(relevant), gone=gone)
    other = load_dataset(DATA / case.other[0], split=case.other[1])
    for name in sampled(other, FOREIGN_QUESTIONS):
        look(FOREIGN, other.judged[name], set(), gone=set())
    parts = {part: {kind: np.array(own) for kind, own in rows[part].items()} for part in _PARTS}
    return Asked(list(wanted), **parts)


def _numbers(found: Signals) -> list[float]:
    return [float(one) for one in found.row()]


def _best(ranking: Ranking) -> list[float]:
    parts = [ranking.scores, *(ranking.stages.get(stage, np.zeros(0)) for stage in ("dense", "lexical"))]
    return [max((float(one) for one in part if not np.isnan(one)), default=0.0) for part in parts]


@dataclass(frozen=True, eq=False)
class _Taker:
    """Takes documents, or the whole articles that they are parts of, out of what may be found."""

    every: Any
    of_document: dict[str, set[int]]
    of_article: dict[str, set[int]]
    mark: str

    @classmethod
    def of(cls, kb: gnomon.Collection, case: Case) -> _Taker:
        documents: dict[str, set[int]] = {}
        articles: dict[str, set[int]] = {}
        for chunk in kb.chunk_texts():
            number = int(chunk.chunk_id)
            documents.setdefault(chunk.document, set()).add(number)
            if case.article:
                articles.setdefault(chunk.document.rsplit(case.article, 1)[0], set()).add(number)
        every = np.array(sorted(set().union(*documents.values())), dtype=np.int64)
        return cls(every, documents, articles, case.article)

    def chunks(self, documents: Sequence[str]) -> set[int]:
        return set().union(*(self.of_document.get(one, set()) for one in documents))

    def removals(self, relevant: Sequence[str]) -> Iterator[tuple[str, set[int]]]:
        yield WHOLE, set()
        yield DOCUMENT, self.chunks(relevant)
        if self.mark:
            articles = {one.rsplit(self.mark, 1)[0] for one in relevant}
            yield ARTICLE, set().union(*(self.of_article[one] for one in articles))

    def left(self, gone: set[int]) -> Any:
        return self.every[~np.isin(self.every, list(gone))]
