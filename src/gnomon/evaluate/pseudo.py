"""Pseudo-queries made of a corpus's own chunks, and alarms where fewer of their sources are found than before."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet
from gnomon.kernels.statistics import hypergeometric_tail
from gnomon.text.sentences import sentences

PseudoKind = Literal["heading", "first sentence", "sampled sentence", "keywords"]
AnswerUnit = Literal["document", "chunk"]
KINDS: tuple[PseudoKind, ...] = get_args(PseudoKind)
PSEUDO_NOTE = "pseudo-judgments: they detect breakage, they do not choose"
KEYWORD_COUNT = 5
_MOST_SHARED = 0.1  # words in more than a tenth of all chunks do not characterise a chunk
_LONGEST = 400  # characters of a query; what is longer is a table or code
_WORD = re.compile(r"\w+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class ChunkText:
    """A chunk that queries are made from. `ordinal` is its position in the document, from 0; `heading` the
    headings above it, outermost first.
    """

    chunk_id: str
    document: str
    text: str
    ordinal: int = 0
    title: str = ""
    heading: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    text: str
    chunk: ChunkText


@dataclass(frozen=True, slots=True)
class _SeededHash:
    """A pseudo-random key of each text: what is drawn by it stays drawn when other documents come or go."""

    seed: str

    def __call__(self, text: str) -> bytes:
        return hashlib.sha256(f"{self.seed}\n{text}".encode("utf-8", "surrogatepass")).digest()


def pseudo_queries(
    chunks: Sequence[ChunkText],
    *,
    kinds: Sequence[PseudoKind] = KINDS,
    per_kind: int = 200,
    answer: AnswerUnit = "document",
    seed: int = 0,
) -> DataSet:
    """At most `per_kind` queries of each kind, from chunks drawn at random, marked `pseudo`.

    A query's only relevant answer is the document, or the chunk, that it was made from. Texts that are too short,
    mostly not words, or in more than one answer are left out. The same chunks in any order and the same
    seed give the same queries, and a corpus that changed a little nearly the same.
    Raises InvalidInput where nothing can be made.
    """
    _check(chunks, kinds, per_kind, answer=answer)
    ordered = sorted(chunks, key=lambda chunk: (chunk.document, chunk.ordinal, chunk.chunk_id))
    queries: dict[str, str] = {}
    relevant: dict[str, dict[str, int]] = {}
    kind_of: dict[str, str] = {}
    for kind in dict.fromkeys(kinds):
        drawn = _SeededHash(f"{seed} {kind}")
        candidates = _MAKERS[kind](ordered, drawn)
        owners = _owners(((c.text, c) for c in candidates), answer)
        own = [c for c in candidates if len(owners[_plain(c.text)]) == 1 and _is_query(c.text, kind)]
        distinct = list({_plain(c.text): c for c in reversed(own)}.values())[::-1]
        for number, chosen in enumerate(sorted(distinct, key=lambda c: drawn(c.text))[:per_kind], start=1):
            name = f"{kind.replace(' ', '-')}-{number}"
            queries[name], kind_of[name] = chosen.text, kind
            relevant[name] = {_answer_of(chosen.chunk, answer): 1}
    if not queries:
        raise InvalidInput(
            f"{len(chunks)} chunks without one heading, sentence or keyword to ask for",
            expected="chunks of text, some of it found in one place only",
            hint="index more documents, or give judged queries with --data",
        )
    return DataSet("pseudo", queries, relevant, documents=_ids(chunks, answer), pseudo=True, kinds=kind_of)


def _check(chunks: Sequence[ChunkText], kinds: Sequence[str], per_kind: int, *, answer: str) -> None:
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise InvalidInput(f"kinds {unknown or list(kinds)}", expected=f"some of {', '.join(KINDS)}")
    if per_kind < 1:
        raise InvalidInput(f"per_kind = {per_kind}", expected="at least 1 query of each kind")
    if answer not in get_args(AnswerUnit):
        raise InvalidInput(f"answer {answer!r}", expected=f"one of {', '.join(get_args(AnswerUnit))}")
    if not chunks:
        raise InvalidInput("no chunks", expected="the chunks of a collection", hint="index documents first")


def _headings(chunks: Sequence[ChunkText], _: _SeededHash) -> list[_Candidate]:
    """The innermost heading of each chunk, or the title where there is none."""
    found = []
    for chunk in chunks:
        text = " ".join((chunk.heading[-1] if chunk.heading else chunk.title).split()).strip("# ")
        found.append(_Candidate(text, chunk))
    return _first_of_each(found)


def _first_of_each(found: Iterable[_Candidate]) -> list[_Candidate]:
    """One candidate for each text of a document: a section's heading is above each of its chunks."""
    return list({(c.chunk.document, _plain(c.text)): c for c in reversed(list(found))}.values())[::-1]


def _first_sentences(chunks: Sequence[ChunkText], _: _SeededHash) -> list[_Candidate]:
    # A chunk may begin within a sentence; a document does not.
    first = {chunk.document: chunk for chunk in reversed(chunks)}
    openings = ((chunk, sentences(chunk.text)) for chunk in first.values())
    return [_Candidate(parts[0], chunk) for chunk, parts in openings if parts]


def _sampled_sentences(chunks: Sequence[ChunkText], drawn: _SeededHash) -> list[_Candidate]:
    """A whole sentence of each chunk: neither its first nor its last, which the cut may have shortened."""
    split = [sentences(chunk.text) for chunk in chunks]
    owners = _owners(
        ((text, _Candidate(text, chunk)) for chunk, parts in zip(chunks, split, strict=True) for text in parts),
        "chunk",
    )
    found = []
    for chunk, parts in zip(chunks, split, strict=True):
        inner = [text for text in parts[1:-1] if _is_query(text, "sampled sentence")]
        inner = [text for text in inner if len(owners[_plain(text)]) == 1]
        if inner:
            found.append(_Candidate(min(inner, key=drawn), chunk))
    return found


def _keywords(chunks: Sequence[ChunkText], _: _SeededHash) -> list[_Candidate]:
    """The words of highest tf-idf in each chunk, (1 + ln tf) * ln(N / df); words of one chunk only left out.

    Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval".
    """
    bags = [Counter(_terms(chunk.text)) for chunk in chunks]
    spread = Counter(word for bag in bags for word in bag)
    most = max(2.0, _MOST_SHARED * len(bags))

    def weight(bag: Mapping[str, int], word: str) -> float:
        return (1 + math.log(bag[word])) * math.log(len(bags) / spread[word])

    found = []
    for chunk, bag in zip(chunks, bags, strict=True):
        usable = [word for word in bag if 2 <= spread[word] <= most]
        best = sorted(usable, key=lambda word: (-weight(bag, word), word))[:KEYWORD_COUNT]
        if len(best) == KEYWORD_COUNT:
            found.append(_Candidate(" ".join(best), chunk))
    return found


_MAKERS: Mapping[PseudoKind, Callable[[Sequence[ChunkText], _SeededHash], list[_Candidate]]] = {
    "heading": _headings,
    "first sentence": _first_sentences,
    "sampled sentence": _sampled_sentences,
    "keywords": _keywords,
}


def _terms(text: str) -> Iterator[str]:
    return (
        word
        for word in _WORD.findall(text.lower())
        if 3 <= len(word) <= 30 and word.isalpha() and not _CJK.search(word)
    )


def _owners(found: Iterable[tuple[str, _Candidate]], answer: AnswerUnit) -> Mapping[str, set[str]]:
    owners: dict[str, set[str]] = defaultdict(set)
    for text, candidate in found:
        owners[_plain(text)].add(_answer_of(candidate.chunk, answer))
    return owners


def _answer_of(chunk: ChunkText, answer: AnswerUnit) -> str:
    return chunk.document if answer == "document" else chunk.chunk_id


def _ids(chunks: Sequence[ChunkText], answer: AnswerUnit) -> frozenset[str]:
    return frozenset(_answer_of(chunk, answer) for chunk in chunks)


def _plain(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))


def _is_query(text: str, kind: PseudoKind) -> bool:
    """Whether a text could be a query: enough words, mostly letters, not too long."""
    words = len(_WORD.findall(text)) + len(_CJK.findall(text)) // 2
    letters = sum(char.isalpha() or char.isspace() for char in text)
    least = 2 if kind in ("heading", "keywords") else 5
    return words >= least and len(text) <= _LONGEST and letters >= 0.7 * len(text)


DEPTH = 10
ALPHA = 0.01  # for all tests of one measurement together
ALL_KINDS = "all kinds"
_DIGEST = 12


@dataclass(frozen=True, slots=True)
class SourceRecall:
    """Of how many queries the source was among the first ten results.

    `query_digests` are the queries' and `missed_digests` those of the queries whose source was not found: with
    them two measurements are compared query by query, which detects far smaller losses.
    """

    hits: int
    queries: int
    query_digests: tuple[str, ...] = ()
    missed_digests: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """The share."""
        return self.hits / self.queries

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        return {
            "hits": self.hits,
            "queries": self.queries,
            "asked": list(self.query_digests),
            "missed": list(self.missed_digests),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> SourceRecall:
        """What `to_json` wrote."""
        asked, missed = plain.get("asked", ()), plain.get("missed", ())
        return cls(int(plain["hits"]), int(plain["queries"]), tuple(asked), tuple(missed))


@dataclass(frozen=True, slots=True)
class RecallAlarm:
    """Queries of a kind whose sources are found less often than before; `p_value` before correction.

    Where both measurements had the same queries, `lost` of them no longer find their source and `gained` newly do.
    """

    kind: str
    measured: SourceRecall
    expected: SourceRecall
    p_value: float
    lost: int | None = None
    gained: int | None = None

    def __str__(self) -> str:
        same = "" if self.lost is None else f"; of the same queries {self.lost} lost it, {self.gained} gained it"
        return (
            f"{self.kind}: the source is among the first {DEPTH} for {self.measured.recall:.1%} of "
            f"{self.measured.queries} queries; it was for {self.expected.recall:.1%} of {self.expected.queries}"
            f"{same} (p = {self.p_value:.2g})"
        )

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {
            "kind": self.kind,
            "found": self.measured.recall,
            "queries": self.measured.queries,
            "expected": self.expected.recall,
            "expected_queries": self.expected.queries,
            "lost": self.lost,
            "gained": self.gained,
            "p_value": self.p_value,
        }


def recall_by_kind(dataset: DataSet, ranked: Mapping[str, Sequence[str]]) -> dict[str, SourceRecall]:
    """How often the source is among the first ten of `ranked`: ids, best first, by query id.

    A query without a ranking counts as not found. Raises InvalidInput for judgments that are not pseudo.
    """
    if not dataset.pseudo:
        raise InvalidInput(
            f"the data set {dataset.name!r} with true judgments",
            expected="pseudo-queries, whose source is known",
            hint="make them with pseudo_queries; true judgments go to compare",
        )
    digests: dict[str, list[str]] = {}
    missed: dict[str, list[str]] = {}
    for query, kind in dataset.kinds.items():
        sources = dataset.relevant[query]
        name = "\n".join([dataset.queries[query], *sources])
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        digests.setdefault(kind, []).append(digest)
        if set(ranked.get(query, ())[:DEPTH]).isdisjoint(sources):
            missed.setdefault(kind, []).append(digest)
    return {
        kind: SourceRecall(len(of) - len(missed.get(kind, ())), len(of), tuple(of), tuple(missed.get(kind, ())))
        for kind, of in digests.items()
    }


def detect_breakage(
    measured: Mapping[str, SourceRecall], expected: Mapping[str, SourceRecall]
) -> tuple[RecallAlarm, ...]:
    """An alarm for each kind, and for all together, whose recall fell beyond chance; most certain first.

    `expected` is what `recall_by_kind` gave when the collection was known to be sound, in the same mode. Where
    at least half of the queries are the same, those are compared one by one (exact one-sided sign test of
    those that changed: McNemar 1947), else the two shares (exact one-sided test: Fisher 1935). All tests
    together are wrong in at most 1 % of the measurements (Bonferroni); docs/pseudo.md has the detection rates.
    A kind that either side lacks is left out. Raises InvalidInput when no kind is on both sides.
    """
    shared = [kind for kind in measured if kind in expected]
    if not shared:
        raise InvalidInput(
            f"kinds {', '.join(measured) or 'none'} against {', '.join(expected) or 'none'}",
            expected="at least one kind of queries on both sides",
            hint="measure both with the same kinds",
        )
    pairs = {kind: (measured[kind], expected[kind]) for kind in shared}
    if len(shared) > 1:
        pairs[ALL_KINDS] = (_sum([measured[kind] for kind in shared]), _sum([expected[kind] for kind in shared]))
    alarms = [_compare(kind, now, then) for kind, (now, then) in pairs.items()]
    certain = [alarm for alarm in alarms if alarm.p_value < ALPHA / len(pairs)]
    return tuple(sorted(certain, key=lambda alarm: alarm.p_value))


def _compare(kind: str, now: SourceRecall, then: SourceRecall) -> RecallAlarm:
    same = set(now.query_digests) & set(then.query_digests)
    if same and 2 * len(same) >= max(now.queries, then.queries):
        lost = len(same.intersection(now.missed_digests) - set(then.missed_digests))
        gained = len(same.intersection(then.missed_digests) - set(now.missed_digests))
        return RecallAlarm(kind, now, then, _sign_test(lost, gained), lost, gained)
    # The chance of so few hits now, or fewer, were the two shares equal.
    total, hits = now.queries + then.queries, now.hits + then.hits
    return RecallAlarm(kind, now, then, hypergeometric_tail(now.hits, total=total, marked=hits, drawn=now.queries))


def _sign_test(lost: int, gained: int) -> float:
    """The chance of so many losses among the changes, or more, were losses and gains equally likely."""
    changed = lost + gained
    worse = sum(math.comb(changed, more) for more in range(lost, changed + 1))
    return worse / (1 << changed)


def _sum(parts: Sequence[SourceRecall]) -> SourceRecall:
    return SourceRecall(
        sum(part.hits for part in parts),
        sum(part.queries for part in parts),
        tuple(name for part in parts for name in part.query_digests),
        tuple(name for part in parts for name in part.missed_digests),
    )
