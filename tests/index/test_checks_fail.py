"""The conformance checks must fail: one broken index for each promise."""

import numpy as np
import pytest

from gnomon.core.ranking import Ranking
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.index.lexical import LexicalIndex
from gnomon.testing.index import check_index, check_text_index


class Wrapped:
    """An exact index to break."""

    def __init__(self, space):
        self.inner, self.space = ExactIndex(space), space

    def __len__(self):
        return len(self.inner)

    def add(self, ids, vectors):
        self.inner.add(ids, vectors)

    def remove(self, ids):
        self.inner.remove(ids)

    def search(self, queries, *, k, where=None):
        return self.inner.search(queries, k=k, where=where)


class NotEmpty(Wrapped):
    def __len__(self):
        return len(self.inner) or 1


class OneRankingTooFew(Wrapped):
    def search(self, queries, *, k, where=None):
        return super().search(queries, k=k, where=where)[1:]


class AnySpace(Wrapped):
    def add(self, ids, vectors):
        self.inner.add(ids, Vectors(vectors.data, self.space, vectors.starts))


class AnySpaceSearched(Wrapped):
    def search(self, queries, *, k, where=None):
        return super().search(Vectors(queries.data, self.space, queries.starts), k=k, where=where)


class ZeroIsFine(Wrapped):
    def search(self, queries, *, k, where=None):
        return super().search(queries, k=max(k, 1), where=where)


class RepeatsAreFine(Wrapped):
    def add(self, ids, vectors):
        if vectors.space == self.space and len(ids) == len(vectors):
            ids, first = np.unique(ids, return_index=True)
            vectors = vectors.take(first)
        self.inner.add(ids, vectors)


class ZeroVectorsAreFine(Wrapped):
    def add(self, ids, vectors):
        if vectors.data.any() or not len(vectors):
            self.inner.add(ids, vectors)


class WrongRefusal(Wrapped):
    def add(self, ids, vectors):
        if vectors.space != self.space:
            raise KeyError("space")
        self.inner.add(ids, vectors)


class HalfAdded(Wrapped):
    def add(self, ids, vectors):
        if len(vectors) and vectors.space == self.space and len(np.unique(ids)) < len(ids):
            self.inner.add(ids[:1], vectors.take([0]))
        self.inner.add(ids, vectors)


class Misses(Wrapped):
    def search(self, queries, *, k, where=None):
        found = super().search(queries, k=k + (k > 0), where=where)
        return [Ranking(r.ids[1:], r.scores[1:]) if len(r) > k else r for r in found]


class WrongScores(Wrapped):
    def search(self, queries, *, k, where=None):
        return [Ranking(r.ids, r.scores * 1.01) for r in super().search(queries, k=k, where=where)]


class WorstFirst(Wrapped):
    def search(self, queries, *, k, where=None):
        found = super().search(queries, k=k, where=where)
        return [Ranking(r.ids[::-1], r.scores[::-1]) for r in found]


class ShortIds(Wrapped):
    def search(self, queries, *, k, where=None):
        found = super().search(queries, k=k, where=where)
        return [Ranking(r.ids.astype(np.int32), r.scores) for r in found]


class NoFilter(Wrapped):
    def search(self, queries, *, k, where=None):
        return super().search(queries, k=k)


class FilterAfterwards(Wrapped):
    def search(self, queries, *, k, where=None):
        found = super().search(queries, k=k)
        keep = [np.ones(len(r), bool) if where is None else np.isin(r.ids, where) for r in found]
        return [Ranking(r.ids[own], r.scores[own]) for r, own in zip(found, keep, strict=True)]


class KeepsOld(Wrapped):
    def add(self, ids, vectors):
        new = ~np.isin(ids, self.inner._store.rows.ids)
        if vectors.space == self.space and len(np.unique(ids)) == len(ids) == len(vectors):
            ids, vectors = ids[new], vectors.take(np.flatnonzero(new))
        self.inner.add(ids, vectors)


class KeepsRemoved(Wrapped):
    def remove(self, ids):
        if len(self.inner) != len(ids):
            self.inner.remove(ids[:5])


class FailsOnUnknown(Wrapped):
    def remove(self, ids):
        if len(np.setdiff1d(ids, self.inner._store.rows.ids)):
            raise KeyError("unknown id")
        self.inner.remove(ids)


class ChangesItsInput(Wrapped):
    def search(self, queries, *, k, where=None):
        if where is not None:
            where.sort()
        return super().search(queries, k=k, where=where)


class TiesByAccident(Wrapped):
    def search(self, queries, *, k, where=None):
        found = super().search(queries, k=k, where=where)
        orders = [np.lexsort((-r.ids, -r.scores)) for r in found]
        return [Ranking(r.ids[o], r.scores[o]) for r, o in zip(found, orders, strict=True)]


BROKEN = [
    (NotEmpty, "a new index must be empty"),
    (OneRankingTooFew, "must answer every query"),
    (AnySpace, "adding vectors of another space must raise SpaceMismatch, but passed"),
    (AnySpaceSearched, "searching with vectors of another space must raise"),
    (ZeroIsFine, "k = 0 must raise InvalidInput"),
    (RepeatsAreFine, "adding an id twice in one call must raise"),
    (ZeroVectorsAreFine, "adding a zero vector"),
    (WrongRefusal, "but raised KeyError"),
    (HalfAdded, "must leave nothing behind"),
    (Misses, "nearest were found, wanted a share of 1.0"),
    (WrongScores, "brute force says"),
    (WorstFirst, "scores rise"),
    (ShortIds, "not int64"),
    (NoFilter, "not allowed|results, not 0"),
    (FilterAfterwards, "ids allowed: [0-9]+ results, not"),
    (KeepsOld, "new vectors for ids that were there"),
    (KeepsRemoved, "after removing ids"),
    (FailsOnUnknown, "unknown id"),
    (ChangesItsInput, "must not be changed"),
    (TiesByAccident, "in order of id"),
]


@pytest.mark.parametrize(("broken", "sentence"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_index_fails_with_its_sentence(space, broken, sentence):
    check_index(lambda: Wrapped(space()))
    with pytest.raises((AssertionError, KeyError), match=sentence):
        check_index(lambda: broken(space()))


def test_a_share_of_misses_passes_where_that_was_asked_for(space):
    class MissesOne(Wrapped):
        def search(self, queries, *, k, where=None):
            found = super().search(queries, k=k + (k > 0), where=where)
            return [Ranking(r.ids[1:], r.scores[1:]) if len(r) > k > 1 else r for r in found]

    check_index(lambda: Wrapped(space()), min_recall=1.0)
    with pytest.raises(AssertionError, match=r"wanted a share of 0\.95"):
        check_index(lambda: MissesOne(space()), min_recall=0.95)


def broken_text(method, change):
    """A keyword index whose `method` is changed."""

    def make(folder):
        index = LexicalIndex.create(folder)
        original = getattr(index, method)
        setattr(index, method, lambda *given, **named: change(original, *given, **named))
        return index

    return make


def raises_on_marks(search, queries, **named):
    if any('"' in query for query in queries):
        raise ValueError("syntax error")
    return search(queries, **named)


def backwards(search, queries, *, k, where=None):
    return [Ranking(r.ids[::-1], r.scores) for r in search(queries, k=k, where=where)]


BROKEN_TEXT = [
    ("search", raises_on_marks, "is only text, but raised ValueError"),
    ("search", backwards, "must come first|in order of id"),
    ("search", lambda s, q, k, where=None: s(q, k=k), "only allowed ids may be found"),
    ("search", lambda s, q, k, where=None: s(q, k=max(k, 1), where=where), "k = 0 must raise InvalidInput"),
    ("search", lambda s, q, k, where=None: s(q[:1], k=k, where=where) * len(q), "its own ranking"),
    (
        "search",
        lambda s, q, k, where=None: s([x.upper()[:9] for x in q], k=k, where=where),
        "must come first|found",
    ),
    ("remove", lambda remove, ids: None, "removed text must not be found"),
    ("add", lambda add, ids, titles, texts: add(ids, titles, titles), "a word must find all texts"),
    ("add", lambda add, ids, titles, texts: add(ids + 1, titles, texts), "a word must find all texts"),
]


@pytest.mark.parametrize(("method", "change", "sentence"), BROKEN_TEXT)
def test_a_broken_keyword_index_fails_with_its_sentence(tmp_path, method, change, sentence):
    make, places = broken_text(method, change), iter(range(100))
    with pytest.raises(AssertionError, match=sentence):
        check_text_index(lambda: make(tmp_path / str(next(places))))
