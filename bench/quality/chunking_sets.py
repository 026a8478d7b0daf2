"""Development sets for bench/quality/chunking.py, and two in which many documents share a title as passages do."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from bench.data import DATA, beir, rows
from gnomon.core.documents import Document

# What Wikipedia calls the articles whose paragraphs xquad/en holds, in its order; the set leaves them out.
_ARTICLES = """Super Bowl 50|Warsaw|Normans|Nikola Tesla|Computational complexity theory|Teacher|Martin Luther
Southern California|Sky (United Kingdom)|Victoria (Australia)|Huguenot|Steam engine|Oxygen|1973 oil crisis
Apollo program|European Union law|Amazon rainforest|Ctenophora|Fresno, California|Packet switching|Black Death
Geology|Newcastle upon Tyne|Victoria and Albert Museum|American Broadcasting Company|Genghis Khan|Pharmacy
Immune system|Civil disobedience|Construction|Private school|Harvard University|Jacksonville, Florida
Economic inequality|Doctor Who|University of Chicago|Yuan dynasty|Kenya
Intergovernmental Panel on Climate Change|Chloroplast|Prime number|Rhine|Scottish Parliament|Islamism
Imperialism|United Methodist Church|French and Indian War|Force"""
PASSAGE_WORDS = 40
DEVELOPMENT = (
    "rhdh_docs",
    "rhdh_docs, titles of files",
    "xquad/en, titles of articles",
    "xquad/en",
    "scifact train",
)
TEST = ("covidqa",)
WHOLE = ("rhdh_docs", "scifact train", "covidqa")
"""Sets in which only what is done with titles is tried: all texts anew would take long."""


@dataclass(frozen=True)
class Judged:
    """Documents, the questions asked of them, and which documents answer."""

    name: str
    documents: tuple[Document, ...]
    queries: dict[str, str]
    relevant: dict[str, dict[str, int]]

    @property
    def titles(self) -> Counter[str]:
        """How many documents have each title."""
        return Counter(document.title for document in self.documents)


@cache
def judged(name: str) -> Judged:
    """One of DEVELOPMENT or TEST by its name."""
    makers: dict[str, Callable[[], Judged]] = {
        "rhdh_docs": lambda: drawn("rhdh_docs", "test"),
        "rhdh_docs, titles of files": files,
        "xquad/en, titles of articles": passages,
        "xquad/en": lambda: drawn("xquad/en", "test"),
        "scifact train": lambda: drawn("scifact", "train", queries=400, documents=1200),
        "covidqa": lambda: drawn("covidqa", "test"),
    }
    return replace(makers[name](), name=name)


def drawn(name: str, split: str, *, queries: int | None = None, documents: int | None = None) -> Judged:
    """A set, or queries of it drawn at random with their documents and others drawn beside these."""
    data = beir(name, split)
    asked = sorted(data.queries)
    if queries is not None:
        asked = sorted(random.Random(0).sample(asked, min(queries, len(asked))))
    relevant = {query: data.relevant[query] for query in asked}
    kept = [row for row in data.documents if row["text"].strip()]
    if documents is not None:
        wanted = {key for own in relevant.values() for key in own}
        others = [row["_id"] for row in kept if row["_id"] not in wanted]
        wanted |= set(random.Random(0).sample(others, max(0, min(documents - len(wanted), len(others)))))
        kept = [row for row in kept if row["_id"] in wanted]
    made = tuple(Document(row["_id"], row["text"], title=row.get("title", "")) for row in kept)
    return Judged(name, made, {query: data.queries[query] for query in asked}, relevant)


def files() -> Judged:
    """rhdh_docs, each of its passages under the title of the whole file, which some thirty of them share."""
    whole = drawn("rhdh_docs", "test")
    first: dict[str, str] = {}
    for document in whole.documents:
        first.setdefault(document.id.split("#")[0], document.title)
    titled = tuple(replace(one, title=first[one.id.split("#")[0]]) for one in whole.documents)
    return replace(whole, documents=titled)


def passages() -> Judged:
    """xquad/en in passages under their article's title; the one with the answer counts."""
    titles = "|".join(_ARTICLES.split("\n")).split("|")
    held = {row["_id"]: row for row in rows(DATA / "xquad/en" / "queries.jsonl.gz")}
    whole = drawn("xquad/en", "test")
    made: list[Document] = []
    cut: dict[str, list[Document]] = {}
    for document in whole.documents:
        words = document.text.split()
        parts = max(1, round(len(words) / PASSAGE_WORDS))
        at = [len(words) * part // parts for part in range(parts + 1)]
        title = titles[int(document.id[1:].split("-")[0])]
        own = [
            Document(f"{document.id}/{number}", " ".join(words[a:b]), title=title)
            for number, (a, b) in enumerate(pairwise(at))
        ]
        cut[document.id] = own
        made += own
    queries, relevant = {}, {}
    for query, text in whole.queries.items():
        answer = " ".join(held[query]["answer"].split())
        (paragraph,) = whole.relevant[query]
        holding = {one.id: 1 for one in cut[paragraph] if answer in one.text}
        # Which of several holds the answer asked for is not known.
        if len(holding) == 1:
            queries[query], relevant[query] = text, holding
    return Judged("", tuple(made), queries, relevant)
