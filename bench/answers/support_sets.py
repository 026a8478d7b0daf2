"""Sentences with passages that say the same or do not, for bench/answers/support.py, natural and damaged."""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data import DATA, beir, rows
from gnomon.answer.types import Passage
from gnomon.text.sentences import sentences

_NUMBER = re.compile(r"\d+")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?: [A-Z][a-z]+)*")
_VERB = re.compile(r"\b(is|are|was|were|can|will|may|has been|have been|does|did|must|should)\b(?! not)")
_DENIED = re.compile(r"\b(is|are|was|were|can|will|does|did|do|must|should)(?: not\b|not\b|n't\b)")
_TAIL = re.compile(r"(?:, | \()(?:which|who|including|such as|while|although|and|where)\b.*?(?=[.)]?$)")
_OPENING = re.compile(r"^((?:In|On|By|After|During|For|At|From|Since|As of) [^,]{3,40}), (\w)(.*?)([.!]?)$")


@dataclass(frozen=True)
class Example:
    """A sentence, the passages that it is checked against, and whether they say it."""

    source: str
    kind: str
    text: str
    passages: tuple[Passage, ...]
    supported: bool


def passages(texts: Iterable[str], titles: Sequence[str] = ()) -> tuple[Passage, ...]:
    """Texts as passages, each a document of its own."""
    return tuple(
        Passage(at + 1, f"d{at}", text, 0, len(text), 1.0, title=titles[at] if titles else "")
        for at, text in enumerate(texts)
    )


def examples() -> list[Example]:
    """All of them, always the same."""
    return [*answers(), *paragraphs(), *pairs(), *claims()]


def answers() -> Iterator[Example]:
    """Answers of rhdh_docs by sentence, with the contexts that they were written from, and with others."""
    draw = random.Random(0)
    every = rows(DATA / "rhdh_docs" / "qa.jsonl.gz")
    seen: set[str] = set()
    for row in draw.sample(every, 260):
        if len(row["contexts"]) > 3 or row["answer"] in seen:
            continue
        seen.add(row["answer"])
        own = passages(text[:6000] for text in row["contexts"])
        strangers = [other for other in draw.sample(every, 20) if not set(other["relevant"]) & set(row["relevant"])]
        wrong = passages(other["contexts"][0][:6000] for other in strangers[:3])
        graft = strangers[-1]["answer"]
        for text in sentences(row["answer"]):
            yield Example("rhdh_docs", "written from the passages", text, own, True)
            yield Example("rhdh_docs", "passages of other questions", text, wrong, False)
            yield from damaged("rhdh_docs", text, own, graft=graft, draw=draw)


def paragraphs() -> Iterator[Example]:
    """Sentences of xquad/en put in another way, damaged, and with the other paragraphs of their article."""
    draw = random.Random(1)
    corpus = {row["_id"]: row["text"] for row in rows(DATA / "xquad" / "en" / "corpus.jsonl.gz")}
    for name, text in corpus.items():
        article = name.split("-")[0]
        beside = [other for key, other in corpus.items() if key.split("-")[0] == article and key != name]
        own, near = passages([text]), passages(beside[:4])
        graft = draw.choice([other for key, other in corpus.items() if key.split("-")[0] != article])
        for sentence in draw.sample(sentences(text), min(3, len(sentences(text)))):
            for kind, other in reworded(sentence):
                yield Example("xquad/en", kind, other, own, True)
            yield Example("xquad/en", "other paragraphs of the article", sentence, near, False)
            yield from damaged("xquad/en", sentence, own, graft=graft, draw=draw)


def pairs() -> Iterator[Example]:
    """STS-B training pairs that people called the same (4.8 to 5), or like but not the same (2 to 3.4)."""
    draw = random.Random(2)
    every = rows(DATA / "sts" / "stsb.train.jsonl.gz")
    for low, high, supported, kind in ((4.8, 5.0, True, "the same"), (2.0, 3.4, False, "like, not the same")):
        chosen = [row for row in every if low <= row["score"] <= high and row["a"] != row["b"]]
        for row in draw.sample(chosen, min(250, len(chosen))):
            yield Example("STS-B train", kind, row["a"], passages([row["b"]]), supported)


def claims() -> Iterator[Example]:
    """Claims of SciFact train with the abstracts nearest in words that are not judged relevant."""
    from gnomon.index.lexical import LexicalIndex

    data = beir("scifact", "train")
    numbers = np.arange(len(data.documents), dtype=np.int64)
    chosen = random.Random(3).sample(sorted(data.queries), 250)
    with tempfile.TemporaryDirectory() as folder:
        index = LexicalIndex.create(Path(folder) / "words")
        index.add(numbers, [row["title"] for row in data.documents], [row["text"] for row in data.documents])
        index.commit(1)
        found = index.search([data.queries[name] for name in chosen], k=8)
    for name, ranking in zip(chosen, found, strict=True):
        near = [data.documents[at] for at in ranking.ids.tolist()]
        near = [row for row in near if row["_id"] not in data.relevant[name]][:3]
        held = passages([row["text"] for row in near], [row["title"] for row in near])
        yield Example("SciFact train", "abstracts that are near", data.queries[name], held, False)


def damaged(source: str, text: str, own: tuple[Passage, ...], *, graft: str, draw: random.Random) -> Iterator[Example]:
    """The sentence with something wrong in it, against its own passages."""
    whole = " ".join(one.text for one in own)
    others = sorted({name for name in _NAME.findall(whole) if name not in text})
    damages: dict[str, Callable[[], str]] = {
        "another number": lambda: _NUMBER.sub(lambda found: str(int(found[0][:9]) + draw.randint(1, 9)), text, count=1),
        "another name of the passage": lambda: _NAME.sub(
            lambda found: draw.choice(others) if others else found[0], text, count=1
        ),
        "denied": lambda: _VERB.sub(r"\1 not", text, count=1),
        "no longer denied": lambda: _DENIED.sub(r"\1", text, count=1),
        "half of another text": lambda: _grafted(text, graft),
    }
    for kind, make in damages.items():
        other = make()
        if other != text and other not in whole:
            yield Example(source, kind, other, own, False)


def _grafted(text: str, graft: str) -> str:
    words, others = text.split(), sentences(graft)[-1].split()
    return " ".join(words[: -(-len(words) // 2)] + others[len(others) // 2 :])


def reworded(text: str) -> Iterator[tuple[str, str]]:
    """The sentence shortened, or its opening put at its end."""
    if (shorter := _TAIL.sub("", text, count=1)) != text and len(shorter.split()) > 5:
        yield "shortened", shorter.rstrip(".") + "."
    if opening := _OPENING.match(text):
        first, letter, rest, mark = opening.groups()
        yield "turned round", f"{letter.upper()}{rest} {first[0].lower()}{first[1:]}{mark}"
