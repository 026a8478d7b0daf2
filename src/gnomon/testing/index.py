"""Conformance checks for indexes: `check_index` for vectors, `check_text_index` for keywords."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gnomon.core.contracts import Index, TextIndex
from gnomon.core.errors import InvalidInput, InvalidVectors, SpaceMismatch
from gnomon.core.ranking import Ranking
from gnomon.core.similarity import maxsim, normalise, pairwise_scores
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.kernels.ranking import top_k
from gnomon.testing.expect import expect, fail, refuses

_Array = np.ndarray[Any, np.dtype[Any]]
_ROUNDING = 1e-4
"""How far a score may be from brute force, relative to the greatest."""
_TEXTS = (
    "the quick brown fox jumps over the lazy dog",
    "a lazy afternoon with a dog and a book",
    "the history of the quick sailing ship",
    "brown bread with butter",
    "sailing against the wind",
)


def check_index(
    make: Callable[[], Index],
    *,
    min_recall: float = 1.0,
    rows: int = 600,
    stored: Callable[[Vectors], Vectors] | None = None,
) -> None:
    """Check that `make` gives an Index that keeps every promise of the contract.

    `make` is called several times and must give an empty index of one space each time. Approximate indexes
    pass with the share of true neighbours among the ten best given as `min_recall`. Those that keep vectors with a
    loss pass with `stored`, which gives what is kept of vectors: scores must be of that.
    """
    index = make()
    rng = np.random.default_rng(1)
    data = _random(index.space, rows, rng)
    queries = _random(index.space, 8, rng)
    empty = make()
    _check_empty(empty, lambda: empty.search(queries, k=3), len(queries))
    _check_vector_refusals(make(), data)
    reference = _Reference(index, data, min_recall=min_recall, stored=data if stored is None else stored(data))
    reference.add(np.arange(rows) * 3 + 5, np.arange(rows))
    reference.compare(queries, "after one add")
    _check_unchanged(index, data, queries)
    _check_where(reference, queries, rng)
    _check_vector_changes(reference, queries, rows)
    _check_vector_ties(make())


def check_text_index(make: Callable[[], TextIndex]) -> None:
    """Check that `make` gives a TextIndex that keeps every promise of the contract.

    `make` is called several times and must give an empty index each time. The texts are English.
    """
    empty = make()
    _check_empty(empty, lambda: empty.search(["anything", "at all"], k=3), 2)
    index = make()
    ids = np.array([30, 10, 50, 20, 40])
    index.add(ids, ["fox", "dog", "ship", "bread", "wind"], list(_TEXTS))
    _check_words(index)
    _check_rough_queries(index)
    _check_text_changes(index)
    _check_text_refusals(index)
    _check_text_ties(make())


def _check_form(ranking: Ranking, what: str) -> None:
    expect(ranking.ids.dtype == np.int64, f"{what}: ids are {ranking.ids.dtype}, not int64")
    expect(bool((np.diff(ranking.scores) <= 0).all()), f"{what}: scores rise within a ranking")


def _check_empty(index: Index | TextIndex, search: Callable[[], list[Ranking]], queries: int) -> None:
    expect(len(index) == 0, f"a new index must be empty, but len is {len(index)}")
    found = search()
    expect(
        len(found) == queries and not any(len(ranking) for ranking in found),
        "an empty index must answer every query with an empty ranking",
    )
    index.remove(np.array([1, 2]))
    expect(len(index) == 0, "removing from an empty index must leave it empty")


def _random(space: Space, items: int, rng: np.random.Generator) -> Vectors:
    if space.similarity == "maxsim":
        lengths = rng.integers(1, 5, items)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        data = rng.standard_normal((int(lengths.sum()), space.dim)).astype(np.float32)
        return Vectors(normalise(data), space, starts)
    data = rng.standard_normal((items, space.dim)).astype(np.float32)
    return Vectors(normalise(data) if space.similarity == "cosine" else data, space)


class _Reference:
    """What an index must hold, kept beside it."""

    def __init__(self, index: Index, data: Vectors, *, min_recall: float, stored: Vectors) -> None:
        self.index, self.data, self.min_recall, self.stored = index, data, min_recall, stored
        self.items: dict[int, int] = {}

    def add(self, ids: _Array, items: _Array) -> None:
        self.index.add(ids, self.data.take(items))
        self.items.update(zip(ids.tolist(), items.tolist(), strict=True))

    def remove(self, ids: _Array) -> None:
        self.index.remove(ids)
        for one in ids.tolist():
            self.items.pop(one, None)

    def compare(self, queries: Vectors, when: str, *, where: _Array | None = None, k: int = 10) -> None:
        expect(len(self.index) == len(self.items), f"{when}: len is {len(self.index)}, not {len(self.items)}")
        found = self.index.search(queries, k=k, where=where)
        expect(len(found) == len(queries), f"{when}: {len(found)} rankings for {len(queries)} queries")
        allowed = set(self.items) if where is None else set(self.items) & set(where.tolist())
        ids = np.array(sorted(allowed), dtype=np.int64)
        items = np.array([self.items[one] for one in ids.tolist()], dtype=np.int64)
        kept = hit = 0
        for number, ranking in enumerate(found):
            exact = _similarities(queries.take([number]), self.stored, items)
            best, values = top_k(exact, ids, k)
            _check_ranking(ranking, dict(zip(ids.tolist(), exact.tolist(), strict=True)), len(best), when=when)
            lowest = values[-1] - _ROUNDING * max(1.0, abs(float(values[0]))) if len(values) else 0.0
            hit += sum(1 for one, s in zip(ids, exact, strict=True) if s >= lowest and one in set(ranking.ids))
            kept += len(best)
        expect(
            hit >= self.min_recall * kept,
            f"{when}: {hit} of the {kept} nearest were found, wanted a share of {self.min_recall}",
        )


def _similarities(query: Vectors, data: Vectors, items: _Array) -> _Array:
    if len(items) == 0:
        return np.zeros(0)
    chosen = data.take(items)
    if chosen.starts is not None:
        return maxsim(query.data.astype(np.float64), chosen.data.astype(np.float64), chosen.starts)
    wide = chosen.data.astype(np.float64)
    return np.asarray(pairwise_scores(query.data.astype(np.float64), wide, similarity=data.space.similarity)[0])


def _check_ranking(ranking: Ranking, allowed: dict[int, float], length: int, *, when: str) -> None:
    ids = ranking.ids.tolist()
    _check_form(ranking, when)
    expect(len(ids) == length, f"{when}: {len(ids)} results, not {length}")
    expect(len(set(ids)) == len(ids), f"{when}: an id comes twice in one ranking")
    strange = [one for one in ids if one not in allowed]
    expect(not strange, f"{when}: ids {strange[:5]} were found that are not there or not allowed")
    for one, score in zip(ids, ranking.scores.tolist(), strict=True):
        off = abs(score - allowed[one])
        expect(
            off <= _ROUNDING * max(1.0, abs(allowed[one])),
            f"{when}: id {one} scores {score}, brute force says {allowed[one]}",
        )


def _check_vector_refusals(index: Index, data: Vectors) -> None:
    other = replace(index.space, fingerprint="0" * 64, name="another space")
    stranger = Vectors(data.data, other, data.starts)
    ids = np.arange(len(data))
    refuses(lambda: index.add(ids, stranger), SpaceMismatch, "adding vectors of another space")
    refuses(lambda: index.search(stranger, k=1), SpaceMismatch, "searching with vectors of another space")
    refuses(lambda: index.search(data, k=0), InvalidInput, "searching with k = 0")
    pair = data.take([0, 1])
    refuses(lambda: index.add(np.array([4, 4]), pair), InvalidVectors, "adding an id twice in one call")
    refuses(lambda: index.add(np.array([4]), pair), InvalidVectors, "adding two items with one id")
    if index.space.similarity == "cosine":
        zero = Vectors(np.zeros((1, index.space.dim), dtype=np.float32), index.space)
        refuses(lambda: index.add(np.array([4]), zero), InvalidVectors, "adding a zero vector (cosine)")
    expect(len(index) == 0, "an add that is refused must leave nothing behind")


def _check_unchanged(index: Index, data: Vectors, queries: Vectors) -> None:
    ids, where = np.arange(5), np.array([9, 5, 7])
    before = ids.copy(), where.copy(), queries.data.copy(), data.data.copy()
    index.remove(ids[:0])
    index.search(queries, k=3, where=where)
    after = ids, where, queries.data, data.data
    same = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    expect(same, "arrays that are passed in must not be changed")
    one, two = index.search(queries, k=5), index.search(queries, k=5)
    alike = all(np.array_equal(a.ids, b.ids) for a, b in zip(one, two, strict=True))
    expect(alike, "the same search must give the same ids twice")


def _check_where(reference: _Reference, queries: Vectors, rng: np.random.Generator) -> None:
    ids = np.array(sorted(reference.items), dtype=np.int64)
    reference.compare(queries, "with nothing allowed", where=np.zeros(0, dtype=np.int64))
    reference.compare(queries, "with only unknown ids allowed", where=np.array([1, 2], dtype=np.int64))
    for share in (0.005, 0.05, 0.5, 1.0):
        allowed = np.sort(rng.choice(ids, max(1, int(share * len(ids))), replace=False))
        reference.compare(queries, f"with {share:.1%} of the ids allowed", where=allowed)


def _check_vector_changes(reference: _Reference, queries: Vectors, rows: int) -> None:
    ids = np.arange(rows) * 3 + 5
    reference.add(ids[:50], np.arange(50)[::-1].copy())
    reference.compare(queries, "after new vectors for ids that were there")
    reference.remove(np.concatenate([ids[10:90], [1, 2]]))
    reference.compare(queries, "after removing ids, some of them unknown")
    reference.compare(queries, "with removed ids allowed", where=ids[:120])
    reference.add(ids[20:40], np.arange(20, 40))
    reference.compare(queries, "after adding removed ids again")
    reference.add(np.array([2, 0, 1]), np.array([0, 1, 2]))
    reference.compare(queries, "after adding ids out of order")
    reference.compare(queries, "with k beyond the size", k=2 * rows)
    reference.compare(queries, "with k = 1", k=1)
    reference.remove(ids[: 3 * rows // 4])
    reference.compare(queries, "after removing most ids")
    reference.remove(np.array(sorted(reference.items), dtype=np.int64))
    reference.compare(queries, "after removing every id")


def _check_vector_ties(index: Index) -> None:
    rng = np.random.default_rng(2)
    kinds = _random(index.space, 3, rng)
    ids = rng.permutation(90)
    for part in np.split(np.arange(90), 3):
        index.add(ids[part], kinds.take(part % 3))
    for ranking in index.search(kinds, k=40):
        falls = np.diff(ranking.scores) < 0
        rises = np.diff(ranking.ids) > 0
        expect(bool((falls | rises).all()), "equal vectors must score the same and come in order of id")
        expect(int(falls[:29].sum()) == 0, "thirty equal vectors must come first, with one score")


def _ids_found(index: TextIndex, query: str, *, k: int = 10, where: _Array | None = None) -> list[int]:
    (ranking,) = index.search([query], k=k, where=where)
    _check_form(ranking, f"query {query[:40]!r}")
    return [int(one) for one in ranking.ids]


def _check_words(index: TextIndex) -> None:
    expect(len(index) == 5, f"after adding five texts len is {len(index)}")
    expect(set(_ids_found(index, "lazy")) == {30, 10}, "a word must find all texts that contain it and no other")
    expect(_ids_found(index, "quick fox")[:1] == [30], "the text with both words of the query must come first")
    expect(set(_ids_found(index, "butter wind")) == {20, 40}, "a text with any word of the query must be found")
    expect(len(_ids_found(index, "lazy", k=1)) == 1, "k = 1 must give one result")
    expect(_ids_found(index, "zebra") == [], "a word that no text contains must find nothing")
    expect(_ids_found(index, "LAZY") == _ids_found(index, "lazy"), "upper and lower case must find the same")
    expect(50 in _ids_found(index, "ship"), "words of the text must be found")
    several = index.search(["lazy", "zebra", "wind"], k=3)
    expect([len(r) for r in several] == [2, 0, 1], "each query of a batch must get its own ranking, in order")
    expect(_ids_found(index, "lazy", where=np.array([10, 20])) == [10], "only allowed ids may be found")
    expect(_ids_found(index, "lazy", where=np.array([], dtype=np.int64)) == [], "nothing allowed, nothing found")


def _check_rough_queries(index: TextIndex) -> None:
    rough = [
        "",
        "   ",
        '"',
        "a:b AND (",
        "title:[* TO *]",
        "+-!(){}[]^~*?:\\/",
        "🦊",
        "\x00",
        "\ud800",
        "'; --",
    ]
    for query in [*rough, "lazy " * 2000, "x" * 10_000, "the of and"]:
        try:
            _ids_found(index, query)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever comes is the finding
            fail(f"query {query[:20]!r} is only text, but raised {type(error).__name__}: {error}")
    expect(_ids_found(index, 'lazy" (dog:')[:1] != [], "marks around words must not keep them from being found")


def _check_text_changes(index: TextIndex) -> None:
    index.add(np.array([10]), ["cat"], ["a sleepy cat"])
    expect(len(index) == 5, "a new text for an id that is there must replace the old one")
    expect(_ids_found(index, "afternoon") == [], "a replaced text must not be found any more")
    expect(_ids_found(index, "sleepy") == [10], "the new text of an id must be found")
    index.remove(np.array([10, 99]))
    expect(len(index) == 4 and _ids_found(index, "sleepy") == [], "a removed text must not be found")
    index.add(np.array([10]), [""], ["sleepy again"])
    expect(_ids_found(index, "sleepy") == [10], "an id that was removed can be added again")


def _check_text_refusals(index: TextIndex) -> None:
    one: Sequence[str] = ["text"]
    refuses(lambda: index.search(["lazy"], k=0), InvalidInput, "searching with k = 0")
    refuses(lambda: index.add(np.array([1, 1]), ["", ""], ["a", "b"]), InvalidInput, "adding an id twice")
    refuses(lambda: index.add(np.array([1, 2]), ["", ""], one), InvalidInput, "adding two ids with one text")
    expect(len(index) == 5, "an add that is refused must leave nothing behind")


def _check_text_ties(index: TextIndex) -> None:
    ids = np.random.default_rng(3).permutation(60)
    for part in np.split(ids, 4):
        index.add(part, [""] * len(part), ["the same words everywhere"] * len(part))
        _ = len(index)
    got = _ids_found(index, "same words", k=7)
    expect(got == list(range(7)), f"equal texts must come in order of id, but came as {got}")
