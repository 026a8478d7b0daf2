"""Hard negatives: texts that a search finds for a query and that are not its answer.

Candidates are a window of ranks of BM25, of an encoder, or of both; known right answers are taken out, then
those that score too near the known positive (Moreira et al. 2024, NV-Retriever, arXiv:2407.15831) or that a
scorer takes for an answer (Qu et al. 2021, RocketQA, arXiv:2010.08191). How many false negatives are left is
estimated: see `mining_rates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gnomon.core.contracts import Encoder, Scorer
from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Example
from gnomon.train.data.batches import named, shuffled
from gnomon.train.data.source import Source
from gnomon.train.mining.false_negatives import Withheld, estimate
from gnomon.train.mining.search import ByVectors, ByWords, Found, Miner, Progress, Searched, TextPool
from gnomon.train.mining.settings import MineReport, MineSettings

_AT_ONCE = 128
_SCORES = 200_000
"""Scores of so many mined negatives, the first ones, are kept for the estimate."""


def _unheard(stage: str, done: int, of: int) -> None:
    """The progress that nobody watches."""


@dataclass
class _Tally:
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
class _Asked:
    """An example with the ids of its own right answers, of its wrong ones, and of all known right ones."""

    example: Example
    own: frozenset[int]
    wrong: frozenset[int]
    right: frozenset[int]


@dataclass(frozen=True)
class _Chosen:
    """Ids taken, each one's score minus the positive's, and what the filters took out."""

    ids: tuple[int, ...]
    above: dict[int, float]
    margin: int
    scorer: int


class Mining:
    """Examples with their mined negatives, one at a time; `report` says what was mined so far."""

    def __init__(
        self, source: Source, settings: MineSettings, miner: Miner, pool: TextPool, scorer: Scorer | None
    ) -> None:
        self._source, self._settings, self._miner = source, settings, miner
        self._pool, self._scorer = pool, scorer
        self._tally = _Tally()
        self._right: dict[str, set[int]] = {}
        for example in source:
            if not _right(example) or not all(text.strip() for text in example.documents):
                raise InvalidInput(
                    f"{example.id}: no right answer, or an empty text",
                    expected="a query and a text that answers it",
                    hint="take the row out; check_data finds all such rows",
                )
            known = self._right.setdefault(_key(example.query), set())
            known.update(pool.add(text) for text in (*_right(example), *example.also))

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[Example]:
        self._tally = _Tally()
        for start in range(0, len(self._source), _AT_ONCE):
            end = min(start + _AT_ONCE, len(self._source))
            yield from self._block([self._asked(self._source[at]) for at in range(start, end)])

    @property
    def report(self) -> MineReport:
        """What was mined in the last pass, as far as it went."""
        t = self._tally
        withheld = Withheld(t.probes, t.withheld, t.probed, t.found)
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

    def _asked(self, example: Example) -> _Asked:
        right, documents = set(_right(example)), set(example.documents)
        own = frozenset(self._pool.add(text) for text in right)
        wrong = frozenset(self._pool.add(text) for text in documents - right)
        return _Asked(example, own, wrong, frozenset(self._right[_key(example.query)]))

    def _block(self, block: Sequence[_Asked]) -> Iterator[Example]:
        depth = self._settings.ranks[1] + max(len(one.right | one.wrong) for one in block)
        found = self._miner.find([one.example.query for one in block], k=depth)
        for asked, ranked in zip(block, found, strict=True):
            chosen = self._choose(asked, ranked, known=asked.right)
            self._note(asked, chosen)
            if asked.right - asked.own and self._tally.probes < self._settings.probes:
                self._probe(asked, self._choose(asked, ranked, known=asked.own))
            mined = tuple(self._pool.texts[i] for i in chosen.ids)
            example = asked.example
            labels = (*example.labels, *(0.0,) * len(mined))
            yield Example(example.query, (*example.documents, *mined), labels, example.source, example.id, example.also)

    def _choose(self, asked: _Asked, found: Found, *, known: frozenset[int]) -> _Chosen:
        """The negatives of a ranking, if these right answers were known and no others."""
        settings, query = self._settings, asked.example.query
        first, last = settings.ranks
        window = [i for i in found.ids if i not in known and i not in asked.wrong][first - 1 : last]
        scores = self._miner.scores(found, (*window, *asked.own))
        reference = max(scores[i] for i in asked.own)
        limit = settings.limit(reference)
        below = [i for i in window if scores[i] <= limit]
        difference = {i: scores[i] - reference for i in window}
        kept = below
        if self._scorer is not None and below:
            judged = self._judged(self._scorer, query, [*asked.own, *below])
            best = max(judged[i] for i in asked.own)
            kept = [i for i in below if judged[i] <= best - settings.scorer_margin]
            difference |= {i: judged[i] - best for i in below}
        taken = kept
        if settings.choice == "random":
            order = shuffled(len(kept), settings.seed, named(query))
            taken = [kept[int(at)] for at in order]
        return _Chosen(tuple(taken[: settings.per_query]), difference, len(window) - len(below), len(below) - len(kept))

    def _judged(self, scorer: Scorer, query: str, ids: Sequence[int]) -> dict[int, float]:
        scores = np.asarray(scorer.score(query, [self._pool.texts[i] for i in ids]), dtype=np.float64)
        return dict(zip(ids, scores.tolist(), strict=True))

    def _note(self, asked: _Asked, chosen: _Chosen) -> None:
        t = self._tally
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

    def _probe(self, asked: _Asked, chosen: _Chosen) -> None:
        t, hidden = self._tally, asked.right - asked.own
        found = [i for i in chosen.ids if i in hidden]
        t.probes += 1
        t.withheld += len(hidden)
        t.probed += len(chosen.ids)
        t.found += len(found)
        t.hidden += [chosen.above[i] for i in found]


def mine(
    source: Source,
    settings: MineSettings | None = None,
    *,
    corpus: Iterable[str] | None = None,
    encoder: Encoder | None = None,
    scorer: Scorer | None = None,
    progress: Progress = _unheard,
) -> Mining:
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
    searched: list[Searched] = []
    if settings.method != "dense":
        searched.append(ByWords(pool.texts, settings.language, progress))
    if encoder is not None:
        searched.append(ByVectors(pool.texts, encoder, progress))
    allowed = np.arange(offered, dtype=np.int64) if offered < len(pool) else None
    return Mining(source, settings, Miner(searched, allowed), pool, scorer)


def _check(source: Source, settings: MineSettings, encoder: Encoder | None) -> None:
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
