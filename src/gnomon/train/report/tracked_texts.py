"""The few texts of a run that are followed: anchors, what is right for them, and what only looks so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from gnomon.train.data.source import Source
from gnomon.train.evaluation import DevSet, first_by_words

_POSITIVES, _NEGATIVES, _PAIRS = 3, 5, 24
_POOL, _EXAMPLES = 2000, 600
_GOOD = 0.8
"""Where pairs have scores, those from here on in their range belong together (4 of 5 in STS-B)."""


@dataclass(frozen=True)
class Anchor:
    """A query and what is near it: numbers of texts. Negatives are those that share its words (BM25)."""

    query: int
    positives: tuple[int, ...]
    negatives: tuple[int, ...]


@dataclass(frozen=True)
class Followed:
    """The texts that are followed. `pairs` are (query, document) that belong together, for the curve."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    anchors: tuple[Anchor, ...]
    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Followed:
        """What `asdict` made plain."""
        anchors = tuple(Anchor(a["query"], tuple(a["positives"]), tuple(a["negatives"])) for a in plain["anchors"])
        pairs = tuple((query, document) for query, document in plain["pairs"])
        return cls(tuple(plain["queries"]), tuple(plain["documents"]), anchors, pairs)


def followed_of(dev: Sequence[DevSet], sources: Sequence[Source], *, anchors: int) -> Followed | None:
    """Texts to follow: of the first dev set that has pairs, else of the first examples of the sources.

    None where no pair is found, or with 0 anchors.
    """
    if not anchors:
        return None
    for one in chain(map(_related, dev), map(_sampled, (sources,))):
        chosen = {q: [d for d in _right(one, q) if one.documents[d].strip()] for q in one.relevant}
        asked = [q for q, documents in chosen.items() if documents and one.queries[q].strip()]
        if asked:
            return _followed(one, {q: chosen[q] for q in asked}, anchors)
    return None


def _followed(dev: DevSet, right: Mapping[str, Sequence[str]], anchors: int) -> Followed:
    asked = list(right)
    # Spread over the file, of which neighbours are often alike.
    sample = [asked[at] for at in _spread(len(asked), max(_PAIRS, anchors))]
    first = [sample[at] for at in _spread(len(sample), anchors)]
    smaller = replace(dev.smaller(_POOL), queries={q: dev.queries[q] for q in first})
    found = first_by_words(smaller, k=_NEGATIVES + 20)
    queries, documents = _Numbers(), _Numbers()
    made = []
    for query in first:
        own = right[query][:_POSITIVES]
        texts = {dev.documents[d] for d in _right(dev, query)} | {dev.queries[query]}
        wrong = dict.fromkeys(dev.documents[d] for d in found[query] if dev.documents[d] not in texts)
        made.append(
            Anchor(
                queries.of(dev.queries[query]),
                tuple(documents.of(dev.documents[d]) for d in own),
                tuple(documents.of(text) for text in list(wrong)[:_NEGATIVES]),
            )
        )
    pairs = [(queries.of(dev.queries[q]), documents.of(dev.documents[right[q][0]])) for q in sample]
    return Followed(queries.texts, documents.texts, tuple(made), tuple(dict.fromkeys(pairs)))


class _Numbers:
    """Texts in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, text: str) -> int:
        return self._known.setdefault(text, len(self._known))

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._known)


def _right(dev: DevSet, query: str) -> list[str]:
    return [d for d, grade in dev.relevant[query].items() if grade > 0 and d in dev.documents]


def _related(dev: DevSet) -> DevSet:
    """Pairs with scores as judgments: those that score high belong together."""
    if not dev.is_scored:
        return dev
    high = _high(dev.scores)
    relevant: dict[str, dict[str, int]] = {}
    for (query, document), score in zip(dev.pairs, dev.scores, strict=True):
        if score >= high:
            relevant.setdefault(query, {})[document] = 1
    return DevSet(dev.name, dev.queries, dev.documents, relevant)


def _sampled(sources: Sequence[Source]) -> DevSet:
    """The first examples of all sources, as a set to rank."""
    queries, documents = _Numbers(), _Numbers()
    relevant: dict[str, dict[str, int]] = {}
    for source in sources:
        examples = list(source.first(max(1, _EXAMPLES // len(sources))))
        scored = source.form == "scored"
        limit = _high([label for e in examples for label in e.labels]) if scored else 0.0
        for example in examples:
            query = str(queries.of(example.query))
            # Where a teacher's scores are the labels, the best document is the right one.
            least = limit if scored else max(example.labels)
            for text, label in zip(example.documents, example.labels, strict=True):
                number = str(documents.of(text))
                if label >= least:
                    relevant.setdefault(query, {})[number] = 1
    return DevSet("train", _named(queries.texts), _named(documents.texts), relevant)


def _named(texts: Iterable[str]) -> dict[str, str]:
    return {str(number): text for number, text in enumerate(texts)}


def _high(scores: Sequence[float]) -> float:
    return min(scores) + _GOOD * (max(scores) - min(scores))


def _spread(count: int, wanted: int) -> list[int]:
    places: list[int] = np.linspace(0, count - 1, min(wanted, count)).round().astype(int).tolist()
    return places
