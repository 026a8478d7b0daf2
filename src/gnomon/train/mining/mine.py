"""Hard negatives: texts that a search finds for a query and that are not its answer.

Candidates are a window of ranks of BM25, of an encoder, or of both; known right answers are taken out, then
those that score too near the known positive (Moreira et al. 2024, NV-Retriever, arXiv:2407.15831) or that a
scorer takes for an answer (Qu et al. 2021, RocketQA, arXiv:2010.08191). How many false negatives are left is
estimated: see `mining.false_negatives`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from gnomon.core.contracts import Encoder, Scorer
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.serialize import to_plain
from gnomon.train.batch import Example
from gnomon.train.data.batches import name_seed, shuffled_rows
from gnomon.train.data.source import DataSource
from gnomon.train.mining.false_negatives import FalseNegativeRates, WithheldPositives, estimate
from gnomon.train.mining.search import (
    Candidates,
    CandidateSearch,
    KeywordSearch,
    SearchIndex,
    TextPool,
    VectorSearch,
)

Method = Literal["bm25", "dense", "both"]


@dataclass(frozen=True)
class MineSettings:
    """`ranks` is the window, from 1, known right answers not counted; `per_query` how many are taken of it.

    A negative must score at most the positive's score minus `margin`, and at most `share` of it; scores are
    the encoder's where there is one, else BM25's. With a scorer it must besides score `scorer_margin` below
    the positive there. `choice`: the first of the window, or any. `language` is that of the words. `probes`
    is how many examples with several positives are used to estimate the false-negative rate.
    """

    method: Method = "bm25"
    per_query: int = 5
    ranks: tuple[int, int] = (10, 100)
    margin: float | None = None
    share: float | None = None
    scorer_margin: float = 0.0
    choice: Literal["first", "random"] = "first"
    language: str = "en"
    seed: int = 0
    probes: int = 2000

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InvalidInput(f"method {self.method!r}", expected=f"one of {', '.join(get_args(Method))}")
        if self.choice not in ("first", "random"):
            raise InvalidInput(f"choice {self.choice!r}", expected="first or random")
        first, last = self.ranks
        if not 1 <= first <= last:
            raise InvalidInput(f"ranks {first} to {last}", expected="ranks from 1, the lower first")
        if not 1 <= self.per_query <= last - first + 1:
            raise InvalidInput(
                f"{self.per_query} negatives of ranks {first} to {last}",
                expected=f"1 to {last - first + 1}, as many as the window has",
                hint="widen the window, or take fewer",
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise InvalidInput(f"share {self.share}", expected="above 0 to 1, such as 0.95")
        if self.margin is not None and not 0 <= self.margin < float("inf"):
            raise InvalidInput(f"margin {self.margin}", expected="0 or more")

    def limit(self, reference: float) -> float:
        """The highest score that a negative may have when the positive scores `reference`."""
        limit = float("inf")
        if self.margin is not None:
            limit = reference - self.margin
        if self.share is not None:
            # A share of a score below 0 would be above it.
            limit = min(limit, reference * self.share if reference > 0 else reference / self.share)
        return limit


@dataclass(frozen=True)
class MineReport:
    """What was mined. `short` examples have fewer negatives than wanted, `without` of them none.

    `dropped` counts candidates that a filter took out, by filter. `rates` says how many false negatives
    are to be expected.
    """

    settings: MineSettings
    examples: int
    texts: int
    negatives: int
    short: int
    without: int
    dropped: dict[str, int]
    rates: FalseNegativeRates

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**to_plain(self), "rates": self.rates.to_json()}


_AT_ONCE = 128
_SCORES = 200_000
"""Scores of so many mined negatives, the first ones, are kept for the estimate."""


@dataclass
class _Counts:
    examples: int = 0
    negatives: int = 0
    short: int = 0
    without: int = 0
    dropped: dict[str, int] = field(default_factory=lambda: {"margin": 0, "scorer": 0})
    above: int = 0
    candidates: int = 0
    mined: list[float] = field(default_factory=list)
    hidden: list[float] = field(default_factory=list)
    probes: int = 0
    withheld: int = 0
    probed: int = 0
    found: int = 0


@dataclass(frozen=True)
class _KnownAnswers:
    """An example with the ids of its own right answers, of its wrong ones, and of all known right ones."""

    example: Example
    own: frozenset[int]
    wrong: frozenset[int]
    right: frozenset[int]


@dataclass(frozen=True)
class _Selection:
    """Ids taken, each one's score minus the positive's, and what the filters took out."""

    ids: tuple[int, ...]
    above: dict[int, float]
    margin: int
    scorer: int


class MinedExamples:
    """Examples with their mined negatives, one at a time; `report` says what was mined so far."""

    def __init__(
        self,
        source: DataSource,
        settings: MineSettings,
        search: CandidateSearch,
        *,
        pool: TextPool,
        scorer: Scorer | None,
    ) -> None:
        self._source, self._settings, self._search = source, settings, search
        self._pool, self._scorer = pool, scorer
        self._counts = _Counts()
        self._right: dict[str, set[int]] = {}
        for example in source:
            if not _right(example) or not all(text.strip() for text in example.documents):
                raise InvalidInput(
                    f"{example.id}: no right answer, or an empty text",
                    expected="a query and a text that answers it",
                    hint="remove the row; check_data finds all such rows",
                )
            known = self._right.setdefault(_key(example.query), set())
            known.update(pool.add(text) for text in (*_right(example), *example.also))

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Example]:
        self._counts = _Counts()
        for start in range(0, len(self._source), _AT_ONCE):
            end = min(start + _AT_ONCE, len(self._source))
            yield from self._block([self._answers(self._source[at]) for at in range(start, end)])

    @property
    def report(self) -> MineReport:
        """What the last pass mined so far."""
        t = self._counts
        withheld = WithheldPositives(t.probes, t.withheld, t.probed, t.found)
        rates = estimate(withheld, mined=t.mined, hidden=t.hidden, above=(t.above, t.candidates))
        return MineReport(
            self._settings,
            t.examples,
            len(self._pool),
            t.negatives,
            t.short,
            t.without,
            dict(t.dropped),
            rates,
        )

    def _answers(self, example: Example) -> _KnownAnswers:
        right, documents = set(_right(example)), set(example.documents)
        own = frozenset(self._pool.add(text) for text in right)
        wrong = frozenset(self._pool.add(text) for text in documents - right)
        return _KnownAnswers(example, own, wrong, frozenset(self._right[_key(example.query)]))

    def _block(self, block: Sequence[_KnownAnswers]) -> Iterator[Example]:
        depth = self._settings.ranks[1] + max(len(one.right | one.wrong) for one in block)
        found = self._search.find([one.example.query for one in block], k=depth)
        for answers, ranked in zip(block, found, strict=True):
            chosen = self._choose(answers, ranked, known=answers.right)
            self._note(answers, chosen)
            if answers.right - answers.own and self._counts.probes < self._settings.probes:
                self._probe(answers, self._choose(answers, ranked, known=answers.own))
            mined = tuple(self._pool.texts[i] for i in chosen.ids)
            example = answers.example
            labels = (*example.labels, *(0.0,) * len(mined))
            yield Example(example.query, (*example.documents, *mined), labels, example.source, example.id, example.also)

    def _choose(self, answers: _KnownAnswers, found: Candidates, *, known: frozenset[int]) -> _Selection:
        """Choose negatives from a ranking, as if only the answers in `known` were known."""
        settings, query = self._settings, answers.example.query
        first, last = settings.ranks
        window = [i for i in found.ids if i not in known and i not in answers.wrong][first - 1 : last]
        scores = self._search.scores(found, (*window, *answers.own))
        reference = max(scores[i] for i in answers.own)
        limit = settings.limit(reference)
        below = [i for i in window if scores[i] <= limit]
        difference = {i: scores[i] - reference for i in window}
        kept = below
        if self._scorer is not None and below:
            judged = self._judged(self._scorer, query, [*answers.own, *below])
            best = max(judged[i] for i in answers.own)
            kept = [i for i in below if judged[i] <= best - settings.scorer_margin]
            difference |= {i: judged[i] - best for i in below}
        taken = kept
        if settings.choice == "random":
            order = shuffled_rows(len(kept), settings.seed, name_seed(query))
            taken = [kept[int(at)] for at in order]
        return _Selection(
            tuple(taken[: settings.per_query]), difference, len(window) - len(below), len(below) - len(kept)
        )

    def _judged(self, scorer: Scorer, query: str, ids: Sequence[int]) -> dict[int, float]:
        scores = np.asarray(scorer.score(query, [self._pool.texts[i] for i in ids]), dtype=np.float64)
        return dict(zip(ids, scores.tolist(), strict=True))

    def _note(self, answers: _KnownAnswers, chosen: _Selection) -> None:
        t = self._counts
        t.examples += 1
        t.negatives += len(chosen.ids)
        t.short += len(chosen.ids) < self._settings.per_query
        t.without += not chosen.ids
        t.dropped["margin"] += chosen.margin
        t.dropped["scorer"] += chosen.scorer
        t.candidates += len(chosen.above)
        t.above += sum(difference >= 0 for difference in chosen.above.values())
        if len(t.mined) < _SCORES:
            t.mined += [chosen.above[i] for i in chosen.ids]

    def _probe(self, answers: _KnownAnswers, chosen: _Selection) -> None:
        t, hidden = self._counts, answers.right - answers.own
        found = [i for i in chosen.ids if i in hidden]
        t.probes += 1
        t.withheld += len(hidden)
        t.probed += len(chosen.ids)
        t.found += len(found)
        t.hidden += [chosen.above[i] for i in found]


def mine(
    source: DataSource,
    settings: MineSettings | None = None,
    *,
    corpus: Iterable[str] | None = None,
    encoder: Encoder | None = None,
    scorer: Scorer | None = None,
    progress: ProgressCallback = no_progress,
) -> MinedExamples:
    """Negatives for a source's examples, from its own positives or from `corpus`; mined as they are iterated.

    Texts are held in memory, and so are an encoder's vectors of them. Negatives that an example has stay.
    Each pass over the result gives the same. Raises InvalidInput for a method that lacks its encoder, an
    encoder that the method does not use, and scored pairs.
    """
    settings = settings or MineSettings()
    _check(source, settings, encoder)
    pool = TextPool()
    if corpus is None:
        pool.add_all(text for example in source for text in (*_right(example), *example.also))
    else:
        pool.add_all(corpus)
    offered = len(pool)
    # A given corpus may lack the positives: they are needed for their scores, and never offered.
    pool.add_all(text for example in source for text in (*example.documents, *example.also))
    searched: list[SearchIndex] = []
    if settings.method != "dense":
        searched.append(KeywordSearch(pool.texts, settings.language, progress))
    if encoder is not None:
        searched.append(VectorSearch(pool.texts, encoder, progress))
    allowed = np.arange(offered, dtype=np.int64) if offered < len(pool) else None
    return MinedExamples(source, settings, CandidateSearch(searched, allowed), pool=pool, scorer=scorer)


def _check(source: DataSource, settings: MineSettings, encoder: Encoder | None) -> None:
    if (settings.method == "bm25") != (encoder is None):
        needs = encoder is None
        raise InvalidInput(
            f"method {settings.method!r} {'without' if needs else 'with'} an encoder",
            expected="an encoder for dense and both, and none for bm25",
            hint="name a model (encoder=, --model)" if needs else 'say method = "dense" or "both"',
        )
    if source.form == "scored":
        raise InvalidInput(
            f"{source.name}, which has scores in place of right answers",
            expected="pairs, triplets or n-tuples",
            hint="name the columns without a label, if every pair is a right answer",
        )


def _right(example: Example) -> list[str]:
    return [text for text, label in zip(example.documents, example.labels, strict=True) if label > 0]


def _key(query: str) -> str:
    return " ".join(query.casefold().split())
