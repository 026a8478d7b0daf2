"""Conformance checks for stores: `check_store`."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gnomon.core.conditions import Condition
from gnomon.core.errors import InvalidInput, SpaceMismatch, StoreChanged
from gnomon.core.ranking import Ranking
from gnomon.core.similarity import normalise
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import Store, StoreItems, StorePosition
from gnomon.core.vectors import Vectors
from gnomon.testing.conditions import meets
from gnomon.testing.expect import expect, fail, refuses
from gnomon.testing.store_documents import CONDITIONS, FIELD_TYPES, MORE_FIELD_TYPES, documents

_Array = np.ndarray[Any, np.dtype[Any]]
_DIM = 16
_K = 10


def check_store(
    open_store: Callable[[str], Store],
    *,
    min_recall: float = 1.0,
    tolerance: float = 1e-4,
    similarities: Sequence[Similarity] = ("cosine", "dot", "euclidean"),
    rows: int = 300,
) -> None:
    """Check that `open_store` gives Stores that keep every promise of the contract.

    `open_store(name)` opens the engine collection of a name, and is called several times for one name: what was
    written is there again. None of the names gnomon_check… may be there before, and none is left behind. `min_recall`
    is the share of the ten nearest that searches without an exact scan must find, `tolerance` how far scores may be
    off, relative to the greatest, and `similarities` what the engine has: others must be refused.
    """
    opened: list[Store] = []

    def opening(name: str) -> Store:
        opened.append(open_store(name))
        return opened[-1]

    try:
        _check_creation(opening, similarities)
        for similarity in similarities:
            reference = _Reference(opening, f"gnomon_check_{similarity}", similarity, min_recall, tolerance)
            _check_searches(reference, rows)
            _check_position(reference)
            _check_end(reference)
        _check_concurrent_searches(opening, similarities[0])
        _check_alias(opening, similarities[0])
    finally:
        for store in opened:
            store.drop()
            store.close()
            store.close()


def check_store_filters(open_store: Callable[[str], Store], *, tolerance: float = 1e-4) -> list[Condition]:
    """Check every kind of condition that a store says it can filter by; those that it says no to are returned."""
    reference = _Reference(open_store, "gnomon_check_filters", "cosine", 1.0, tolerance)
    try:
        reference.store.create(reference.space, FIELD_TYPES)
        reference.upsert(np.arange(1, 201))
        return _compare_conditions(reference, "among 200 documents")
    finally:
        reference.store.drop()
        reference.store.close()


def store_space(similarity: Similarity, *, dim: int = _DIM, salt: str = "") -> Space:
    """A space to check stores with."""
    digest = hashlib.sha256(f"check-store {similarity} {dim} {salt}".encode()).hexdigest()
    return Space(digest, dim, similarity, "float", f"check-{similarity}-{dim}")


def store_items(space: Space, ids: _Array, *, seed: int = 0) -> StoreItems:
    """Chunks with these ids: vectors, texts and fields that follow from ids and seed alone."""
    data = [np.random.default_rng([seed, int(one)]).standard_normal(space.dim) for one in ids]
    rows = np.array(data, dtype=np.float32).reshape(len(ids), space.dim)
    made = [documents(int(one), seed=seed) for one in ids]
    return StoreItems(
        ids=np.asarray(ids, dtype=np.int64),
        vectors=Vectors(rows, space),
        titles=[own["title"] for _, own in made],
        texts=[f"passage {one} of {own['id']}" for one, (_, own) in zip(ids, made, strict=True)],
        fields=[metadata for metadata, _ in made],
        own=[own for _, own in made],
    )


@dataclass
class _Reference:
    """What a store must hold, kept beside it."""

    open: Callable[[str], Store]
    name: str
    similarity: Similarity
    min_recall: float
    tolerance: float
    rows: dict[int, _Array] = field(default_factory=dict)
    documents: dict[int, tuple[Mapping[str, Any], Mapping[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.space = store_space(self.similarity)
        self.store = self.open(self.name)
        self.queries = Vectors(np.random.default_rng(9).standard_normal((6, _DIM)).astype(np.float32), self.space)

    def reopen(self) -> None:
        """Go on with another object, as another process would."""
        self.store.close()
        self.store = self.open(self.name)

    def upsert(self, ids: _Array, *, seed: int = 0) -> None:
        items = store_items(self.space, ids, seed=seed)
        self.store.upsert(items)
        self.rows.update(zip(ids.tolist(), items.vectors.data, strict=True))
        self.documents.update(zip(ids.tolist(), zip(items.fields, items.own, strict=True), strict=True))

    def delete(self, ids: _Array) -> None:
        self.store.delete(ids)
        for one in ids.tolist():
            self.rows.pop(one, None)
            self.documents.pop(one, None)

    def meeting(self, condition: Condition) -> set[int]:
        return {one for one, (metadata, own) in self.documents.items() if meets(condition, metadata, own)}

    def compare(self, when: str, *, where: Condition | _Array | None = None, k: int = _K) -> None:
        """Compare count, ids and a search with what must be there."""
        expect(self.store.count() == len(self.rows), f"{when}: count is {self.store.count()}, not {len(self.rows)}")
        ids = self.store.ids()
        expect(ids.dtype == np.int64 and ids.tolist() == sorted(self.rows), f"{when}: ids are not those put in, rising")
        if where is None:
            allowed = set(self.rows)
        elif isinstance(where, np.ndarray):
            allowed = set(self.rows) & set(where.tolist())
        else:
            allowed = self.meeting(where)
        self._compare_rankings(self.store.search(self.queries, k=k, where=where), sorted(allowed), k, when=when)

    def _compare_rankings(self, found: list[Ranking], allowed: list[int], k: int, *, when: str) -> None:
        expect(len(found) == len(self.queries), f"{when}: {len(found)} rankings for {len(self.queries)} queries")
        every = sorted(self.rows)
        rows = np.array([self.rows[one] for one in every], dtype=np.float32).reshape(len(every), _DIM)
        scores = self.queries.similarity(Vectors(rows, self.space))
        slack = self.tolerance * max(1.0, float(np.abs(scores).max(initial=0.0)))
        permitted = np.isin(every, allowed)
        near = hits = 0
        for exact, ranking in zip(scores[:, permitted], found, strict=True):
            known = dict(zip(allowed, exact.tolist(), strict=True))
            _check_ranking(ranking, known, slack, when=when)
            expect(
                len(ranking) <= min(k, len(known)) and (self.min_recall < 1 or len(ranking) == min(k, len(known))),
                f"{when}: {len(ranking)} results of {len(known)} that are allowed, with k = {k}",
            )
            best = sorted(known.values(), reverse=True)[:k]
            near += len(best)
            hits += sum(score >= best[-1] - 2 * slack for score in map(known.__getitem__, ranking.ids.tolist()))
        expect(
            hits >= self.min_recall * near, f"{when}: {hits} of the {near} nearest, not a share of {self.min_recall}"
        )


def _check_ranking(ranking: Ranking, known: Mapping[int, float], slack: float, *, when: str) -> None:
    expect(ranking.ids.dtype == np.int64, f"{when}: ids are {ranking.ids.dtype}, not int64")
    ids = ranking.ids.tolist()
    expect(len(set(ids)) == len(ids), f"{when}: an id comes twice in one ranking")
    strange = [one for one in ids if one not in known]
    expect(not strange, f"{when}: ids {strange[:5]} were found that are not there or not allowed")
    steps = list(zip(ranking.scores.tolist(), ids, strict=True))
    ordered = steps == sorted(steps, key=lambda step: (-step[0], step[1]))
    expect(ordered, f"{when}: scores do not fall, or equal ones do not come by id")
    for score, one in steps:
        expect(abs(score - known[one]) <= slack, f"{when}: id {one} scores {score}, exact search says {known[one]}")


def _check_creation(open_store: Callable[[str], Store], similarities: Sequence[Similarity]) -> None:
    space = store_space(similarities[0])
    store = open_store("gnomon_check_made")
    expect(store.name == "gnomon_check_made", f"the name is {store.name!r}, not the one it was opened by")
    _check_nothing_there(store, space, "before create")
    lacking: list[Space] = [
        replace(store_space("cosine", salt=other), similarity=other)
        for other in ("cosine", "dot", "euclidean", "maxsim")
        if other not in similarities
    ]
    if store.capabilities.max_dim is not None:
        lacking.append(store_space(similarities[0], dim=store.capabilities.max_dim + 1))
    for refused in lacking:
        refuses(lambda refused=refused: store.create(refused, {}), InvalidInput, f"create for {refused.short}")  # type: ignore[misc]
        _check_nothing_there(store, space, f"after create for {refused.short} was refused")
    store.create(space, FIELD_TYPES)
    expect(store.count() == 0 and len(store.ids()) == 0, "a new collection must be empty")
    expect(store.position() is None, "a new collection must have no position")
    query = Vectors(np.ones((2, space.dim), dtype=np.float32), space)
    expect([len(one) for one in store.search(query, k=3)] == [0, 0], "an empty store answers with empty rankings")
    store.delete(np.array([1, 2]))
    store.upsert(store_items(space, np.arange(5)))
    store.create(space, FIELD_TYPES)
    open_store("gnomon_check_made").create(space, {**FIELD_TYPES, **MORE_FIELD_TYPES})
    expect(store.count() == 5, "create must leave a collection that is there as it is")
    other = store_space(similarities[0], salt="other")
    refuses(lambda: store.create(other, {}), StoreChanged, "create where one of another space is there")
    refuses(lambda: open_store("gnomon_check_made").create(other, {}), StoreChanged, "the same, opened anew")
    expect(store.count() == 5, "create for another space must leave what is there")


def _check_nothing_there(store: Store, space: Space, when: str) -> None:
    expect(store.position() is None, f"{when}: position must be None")
    query = Vectors(np.ones((1, space.dim), dtype=np.float32), space)
    position = StorePosition("catalog", 1, space.fingerprint, seq=1, nonce=1)
    calls: dict[str, Callable[[], object]] = {
        "count": store.count,
        "ids": store.ids,
        "search": lambda: store.search(query, k=1),
        "upsert": lambda: store.upsert(store_items(space, np.array([1]))),
        "delete": lambda: store.delete(np.array([1])),
        "vectors_of": lambda: store.vectors_of(np.array([1])),
        "stamp": lambda: store.stamp(position),
    }
    for name, call in calls.items():
        refuses(call, StoreChanged, f"{name} {when}")
    store.drop()


def _check_searches(reference: _Reference, rows: int) -> None:
    store, ids = reference.store, np.arange(rows) * 3 + 5
    store.create(reference.space, FIELD_TYPES)
    reference.compare("while it is empty")
    reference.upsert(ids[::-1][: rows // 2])
    reference.upsert(ids[: rows - rows // 2])
    reference.compare("after two upserts")
    stranger = Vectors(reference.queries.data, store_space(reference.similarity, salt="stranger"))
    refuses(lambda: store.search(stranger, k=1), SpaceMismatch, "a search with vectors of another space")
    strange = store_items(stranger.space, np.array([1]))
    refuses(lambda: store.upsert(strange), SpaceMismatch, "an upsert of vectors of another space")
    reference.upsert(ids[10:30], seed=1)
    reference.compare("after other vectors for ids that were there")
    reference.delete(np.concatenate([ids[20:90], [1, 2]]))
    reference.compare("after deleting ids, some of them unknown")
    reference.upsert(ids[40:60])
    reference.upsert(np.array([2, 0, 1 << 40]))
    reference.compare("after putting in deleted ids again, and ids out of order")
    reference.reopen()
    reference.compare("after it was opened again")
    reference.compare("with k beyond the count", k=2 * rows)
    reference.compare("with k = 1", k=1)
    _compare_allowed(reference, ids)
    _compare_conditions(reference, "after it was opened again")
    _check_vectors_of(reference, ids)
    _check_ties(reference)
    if not reference.store.capabilities.words:
        refuses(lambda: reference.store.search_words(["word"], k=1), InvalidInput, "a search of words without them")


def _compare_allowed(reference: _Reference, ids: _Array) -> None:
    none = ids[:0]
    reference.compare("with nothing allowed", where=none)
    reference.compare("with unknown ids allowed", where=np.array([3, 4]))
    reference.compare("with one id allowed", where=ids[-1:])
    reference.compare("with deleted ids allowed", where=ids[:120])
    reference.compare("with every id allowed, and k beyond them", where=np.array(sorted(reference.rows)), k=1000)
    reference.compare("with 20,000 ids allowed, most of them unknown", where=np.arange(20_000))


def _compare_conditions(reference: _Reference, when: str) -> list[Condition]:
    refused = []
    for text, condition in CONDITIONS.items():
        if reference.store.can_filter(condition):
            reference.compare(f"{when}, where {text}", where=condition)
        else:
            refused.append(condition)
    return refused


def _check_vectors_of(reference: _Reference, ids: _Array) -> None:
    found, vectors = reference.store.vectors_of(np.append(ids[100:0:-7], [3]))
    wanted = [one for one in sorted(ids[100:0:-7].tolist()) if one in reference.rows]
    expect(found.dtype == np.int64 and found.tolist() == wanted, "vectors_of must give the ids that are there, rising")
    reference.space.require(vectors.space)
    rows = np.array([reference.rows[one] for one in wanted])
    if reference.similarity == "cosine":  # of which lengths are no part
        rows, data = normalise(rows), normalise(vectors.data)
    else:
        data = vectors.data
    off = float(np.abs(rows - data).max()) / float(np.abs(rows).max())
    expect(off <= reference.tolerance, f"vectors_of gives others than were put in, {off} off")
    empty, none = reference.store.vectors_of(ids[:0])
    expect(len(empty) == len(none) == 0, "vectors_of of no ids must give none")


def _check_ties(reference: _Reference) -> None:
    ids = np.random.default_rng(3).permutation(40) + 5000
    items = store_items(reference.space, ids)
    row = Vectors(np.repeat(reference.queries.data[:1] * 3, len(ids), axis=0), reference.space)
    reference.store.upsert(replace(items, vectors=row))
    (ranking,) = reference.store.search(row[[0]], k=7, where=np.sort(ids))
    expect(len(set(ranking.scores.tolist())) == 1, "equal vectors must score the same")
    expect(ranking.ids.tolist() == list(range(5000, 5007)), "of equal scores the lowest ids must be found, by id")
    reference.delete(ids)


def _check_position(reference: _Reference) -> None:
    store = reference.store
    expect(store.position() is None, "a store that was never stamped must have no position")
    at = StorePosition("catalog", 3, reference.space.fingerprint, seq=1 << 40, nonce=(1 << 62) + 7, fields=2)
    store.stamp(at)
    expect(store.position() == at, "position must be what was stamped")
    later = replace(at, seq=at.seq + 1, nonce=-5, recall=0.987)
    store.stamp(later)
    reference.reopen()
    expect(reference.store.position() == later, "the last stamp must be there when it is opened again")
    reference.compare("after two stamps, which are no items")


def _check_end(reference: _Reference) -> None:
    store, other = reference.store, reference.open(reference.name)
    reference.delete(np.array(sorted(reference.rows)))
    reference.compare("after deleting every id")
    expect(store.position() is not None, "an emptied store must keep its position")
    other.drop()
    _check_nothing_there(store, reference.space, "after another process dropped it")
    _check_nothing_there(other, reference.space, "after it was dropped")
    store.create(reference.space, {})
    reference.compare("made anew")
    reference.upsert(np.arange(20))
    reference.compare("filled anew")
    store.drop()


def _check_concurrent_searches(open_store: Callable[[str], Store], similarity: Similarity) -> None:
    """Searches of three threads beside a writer raise nothing, and find only what is there all the time or comes."""
    space, store = store_space(similarity), open_store("gnomon_check_threads")
    store.create(space, {})
    lasting, passing = np.arange(50), np.arange(50, 100)
    store.upsert(store_items(space, lasting))
    queries, errors, stop = store_items(space, lasting[:3]).vectors, list[str](), threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                for ranking in store.search(queries, k=100):
                    ids = set(ranking.ids.tolist())
                    if not set(range(50)) <= ids <= set(range(100)):
                        errors.append(f"found {len(ids)} ids, without some that are there or with others")
            except Exception as error:  # noqa: BLE001 - whatever comes is the finding
                errors.append(f"{type(error).__name__}: {error}")
            if errors:
                return

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        store.upsert(store_items(space, passing))
        store.delete(passing)
    stop.set()
    for thread in threads:
        thread.join()
    if errors:
        fail(f"a search beside a writer: {errors[0]}")
    store.drop()


def _check_alias(open_store: Callable[[str], Store], similarity: Similarity) -> None:
    space = store_space(similarity)
    stores = [open_store(f"gnomon_check_v{number}") for number in (1, 2)]
    for number, store in enumerate(stores):
        store.create(space, {})
        store.upsert(store_items(space, np.arange(number + 1)))
    for store in stores:
        store.set_alias("gnomon_check")
        store.set_alias("gnomon_check")
        if store.capabilities.aliases:
            count = open_store("gnomon_check").count()
            expect(count == store.count(), f"the alias must lead to {store.name}, but has {count} chunks")
    for store in stores:
        store.drop()
