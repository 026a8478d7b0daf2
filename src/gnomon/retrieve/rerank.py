"""The best of another retriever, looked at again by a model that is too slow to look at everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.core.contracts import Retriever, Scorer
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve.aligning import Ids, Scores, scores_at
from gnomon.retrieve.lookups import TextsOf

DEPTH = 100

Judge = Callable[[str, Ids], tuple[Ids, Scores]]
"""A query and candidates to those of them that can be judged, rising, and their scores in that order."""


@dataclass(frozen=True)
class RerankSettings:
    """A second model looks at the first `depth` results: a cross-encoder or late interaction, by its name.

    `share` is what its scores count beside those that the results were found with, each brought to 0 to 1.
    `fingerprint` (hex SHA-256) says which model it was that a collection was set with; it is filled in there.
    Raises InvalidInput for no name, a depth below 1 and a share that is not above 0 and at most 1.
    """

    model: str
    depth: int = 30
    share: float = 0.7
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise InvalidInput(f"rerank.model = {self.model!r}", wanted="a model's name or folder")
        check_depth(self.depth)
        check_share(self.share)


@dataclass(frozen=True)
class Rerank:
    """Puts the first `depth` of another retriever in the order of a Scorer, such as a cross-encoder.

    Nogueira and Cho 2019 (arXiv:1901.04085). No candidate is lost: those without a text come after the
    scored ones, and what lies beyond `depth` after these, each in the order that they were found in. With a
    `share` below 1 the rest of the score is what they were found with, each of the two brought to 0 to 1. The
    scorer reads a text with its title before it. Raises InvalidInput for a depth below 1 or such a share, and
    for scores that are not one finite number a text.
    """

    part: Retriever
    scorer: Scorer
    texts_of: TextsOf
    depth: int = DEPTH
    share: float = 1.0

    def __post_init__(self) -> None:
        check_depth(self.depth)
        check_share(self.share)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "rerank" holds the scorer's score, "found" the first one."""
        found = self.part(queries, k=max(k, self.depth))
        return [
            reordered(query.text, ranking, self._judge, Second("rerank", self.depth, self.share)).first(k)
            for query, ranking in zip(queries, found, strict=True)
        ]

    def _judge(self, query: str, candidates: Ids) -> tuple[Ids, Scores]:
        ids, titles, texts = self.texts_of(candidates)
        whole = [titled(title, text) for title, text in zip(titles, texts, strict=True)]
        return ids, np.asarray(self.scorer.score(query, whole), dtype=np.float32)


def check_depth(depth: int) -> None:
    """Raise InvalidInput for a depth below 1."""
    if depth < 1:
        raise InvalidInput(f"a reranking depth of {depth}", wanted="at least 1 candidate")


def check_share(share: float) -> None:
    """Raise InvalidInput for a share that is not above 0 and at most 1."""
    if not 0 < share <= 1:
        raise InvalidInput(f"a reranker's share of {share}", wanted="above 0 and at most 1")


def titled(title: str, text: str) -> str:
    """What a model reads of a candidate: its title on a line of its own, where there is one, and its text.

    >>> titled("Tea", "A drink.")
    'Tea\\nA drink.'
    """
    return f"{title}\n{text}" if title and not text.startswith(title) else text


@dataclass(frozen=True)
class Second:
    """How a judge's scores are used: the stage that they are named by, how many it gives, its share."""

    stage: str
    depth: int
    share: float = 1.0


def reordered(query: str, ranking: Ranking, judge: Judge, second: Second) -> Ranking:
    """The ranking with its first by the judge's scores, or by a mix with theirs; equal ones as they were.

    What is not judged keeps its order below, with scores that go on falling from the lowest judged one by
    what they fell by before: the two kinds of scores have no scale in common.
    """
    if len(ranking) == 0:
        return ranking
    head = ranking.ids[: second.depth]
    ids, values = judge(query, np.unique(head))
    if values.shape != ids.shape or not np.isfinite(values).all():
        raise InvalidInput(
            f"scores of shape {values.shape} for {len(ids)} texts, {int((~np.isfinite(values)).sum())} of "
            "them not finite",
            wanted="one finite score a text",
            next_step="check the scorer: gnomon.testing.check_scorer",
        )
    judged = scores_at(ranking.ids, ids, values)
    judged[len(head) :] = np.nan
    has = np.flatnonzero(~np.isnan(judged))
    rest = np.flatnonzero(np.isnan(judged))
    mixed = judged.copy()
    if second.share < 1 and len(has):
        own, found = _unit(judged[has]), _unit(ranking.scores[has])
        mixed[has] = second.share * own + (1 - second.share) * found
    order = np.concatenate([has[np.argsort(-mixed[has], kind="stable")], rest])
    stages = {"found": ranking.scores, **ranking.stages, second.stage: judged}
    scores = np.concatenate([mixed[order[: len(has)]], _below(mixed[has], ranking.scores[rest])])
    return Ranking(
        ranking.ids[order], scores.astype(np.float32), {name: s[order] for name, s in stages.items()}
    )


def _unit(scores: Scores) -> Scores:
    low, high = float(scores.min()), float(scores.max())
    return np.asarray((scores - low) / max(high - low, 1e-9))


def _below(judged: Scores, rest: Scores) -> Scores:
    if len(judged) == 0 or len(rest) == 0:
        return rest
    return np.asarray(judged.min() - (rest[0] - rest), dtype=np.float32)
