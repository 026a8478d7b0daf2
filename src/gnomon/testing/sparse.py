"""Conformance checks for sparse vectors: `check_sparse_encoder`, and `check_sparse_index` against brute force."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from gnomon.core.contracts import Role, SparseTextEncoder, SparseVectorIndex
from gnomon.core.errors import InvalidInput, InvalidVectors, SpaceMismatch, TruncatedText
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.kernels.ranking import top_k
from gnomon.testing.encoder import ODDITIES, TEXTS, WRONG_TEXTS
from gnomon.testing.expect import expect, refuses

_Array = np.ndarray[Any, np.dtype[Any]]
_ROUNDING = 1e-4


def check_sparse_encoder(encoder: SparseTextEncoder, *, texts: Sequence[str] = TEXTS, tolerance: float = 1e-3) -> None:
    """Raise AssertionError with one sentence for every promise of `SparseTextEncoder` that this one breaks.

    `texts` are at least three different texts, none over-long. `tolerance` is how far a weight may be from that of the
    same text encoded with others, relative to the greatest.
    """
    space = encoder.space
    expect(space.similarity == "dot", f"a sparse space's similarity must be dot, not {space.similarity}")
    for role in get_args(Role):
        together = encoder.encode(texts, role=role)
        expect(len(together) == len(texts), f"{role}: {len(together)} rows for {len(texts)} texts")
        expect(together.space == space, f"{role}: vectors of another space than the encoder's")
        expect(bool((together.active > 0).all()), f"{role}: a text without one weight")
        dense = together.to_dense()
        scale = max(1.0, float(np.abs(dense).max()))
        turned = encoder.encode(list(texts)[::-1], role=role).to_dense()[::-1]
        alone = np.concatenate([encoder.encode([text], role=role).to_dense() for text in texts])
        for other, how in ((turned, "in another order"), (alone, "alone")):
            apart = float(np.abs(dense - other).max()) / scale
            expect(apart <= tolerance, f"{role}: a weight differs by {apart:.2g} when its text is encoded {how}")
        expect(len(encoder.encode([], role=role)) == 0, f"{role}: no texts must give no rows")
        _check_texts(encoder, role)
    refuses(lambda: encoder.encode(["a"], role="other"), InvalidInput, "an unknown role")  # type: ignore[arg-type]


def _check_texts(encoder: SparseTextEncoder, role: Role) -> None:
    for wrong, given in WRONG_TEXTS.items():
        refuses(lambda given=given: encoder.encode(given, role=role), InvalidInput, wrong)  # type: ignore[misc]
    for odd, text in ODDITIES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncatedText)
            with suppress(InvalidInput):  # such as a lone surrogate, which is no text
                expect(len(encoder.encode([text], role=role)) == 1, f"{role}: {odd} must give one row")
    long = "word " * (encoder.max_tokens + 10)
    if encoder.max_tokens <= 20_000 and encoder.count_tokens([long], role=role)[0] > encoder.max_tokens:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoder.encode([long], role=role)
        told = any(issubclass(one.category, TruncatedText) for one in caught)
        expect(told or role == "query", f"{role}: an over-long text must be warned of")


def check_sparse_index(make: Callable[[], SparseVectorIndex], *, rows: int = 400) -> None:
    """Check that `make` gives a SparseVectorIndex that keeps every promise of the contract.

    `make` is called several times and must give an empty index of one space each time.
    """
    index, rng = make(), np.random.default_rng(1)
    data, queries = _random(index.space, rows, rng), _random(index.space, 6, rng)
    expect(len(index) == 0, f"a new index must be empty, but len is {len(index)}")
    expect(not any(map(len, index.search(queries, k=3))), "an empty index must answer with empty rankings")
    index.remove(np.array([1, 2]))
    _check_refusals(make(), data)
    held: dict[int, int] = {}

    def add(items: _Array, ids: _Array) -> None:
        index.add(ids, data.take(items))
        held.update(zip(ids.tolist(), items.tolist(), strict=True))

    every = np.arange(rows)
    add(every, (every * 7919 % rows) * 3 + 5)  # in no order
    _compare(index, (data, queries), held, when="after one add")
    for number in range(0, 40, 8):
        add(every[number : number + 8], every[-1 - number : -9 - number : -1] * 3 + 5)
    _compare(index, (data, queries), held, when="after vectors were replaced")
    gone = np.array([*sorted(held)[: rows // 2 : 2], -1, 10**9])
    index.remove(gone)
    for one in gone.tolist():
        held.pop(one, None)
    _compare(index, (data, queries), held, when="after removing")
    allowed = np.array([*sorted(held)[::3], 10**9], dtype=np.int64)
    _compare(index, (data, queries), held, when="among allowed ids", where=allowed)
    _compare(index, (data, queries), held, when="with nothing allowed", where=allowed[:0])
    index.remove(np.array(sorted(held)))
    _compare(index, (data, queries), {}, when="after removing everything")
    _check_ties(make(), data)


def _random(space: Space, count: int, rng: np.random.Generator) -> SparseVectors:
    width = min(space.dim, 60)
    dense = rng.random((count, width)) * (rng.random((count, width)) < 0.2)
    dimensions = np.sort(rng.choice(space.dim, width, replace=False)).astype(np.int32)
    rows = [(dimensions[row > 0], row[row > 0].astype(np.float32)) for row in dense]
    return SparseVectors.of(rows, space)


def _compare(
    index: SparseVectorIndex,
    vectors: tuple[SparseVectors, SparseVectors],
    held: dict[int, int],
    *,
    when: str,
    where: _Array | None = None,
) -> None:
    data, queries = vectors
    expect(len(index) == len(held), f"{when}: len is {len(index)}, not {len(held)}")
    ids = np.array(sorted(held if where is None else set(held) & set(where.tolist())), dtype=np.int64)
    exact = queries.similarity(data.take([held[one] for one in ids.tolist()]))
    for ranking, scores in zip(index.search(queries, k=10, where=where), exact, strict=True):
        best, values = top_k(np.where(scores > 0, scores, -np.inf), ids, 10)
        expect(ranking.ids.dtype == np.int64, f"{when}: ids are {ranking.ids.dtype}, not int64")
        expect(len(ranking) == len(best), f"{when}: {len(ranking)} results, not {len(best)}")
        near = np.allclose(ranking.scores, values, rtol=_ROUNDING, atol=_ROUNDING)
        expect(near, f"{when}: scores {ranking.scores[:3]} where brute force gives {values[:3]}")
        own = dict(zip(ids.tolist(), scores.tolist(), strict=True))
        right = all(abs(own.get(i, -1.0) - s) <= _ROUNDING for i, s in zip(ranking.ids, ranking.scores, strict=True))
        expect(right, f"{when}: an id was found that is not there, not allowed, or has another score")


def _check_refusals(index: SparseVectorIndex, data: SparseVectors) -> None:
    other = replace(index.space, fingerprint="0" * 64, name="another")
    foreign = SparseVectors.of([data.row(0)], other)
    refuses(lambda: index.add(np.array([1]), foreign), SpaceMismatch, "adding vectors of another space")
    refuses(lambda: index.search(foreign, k=1), SpaceMismatch, "a query of another space")
    refuses(lambda: index.add(np.array([1, 1]), data.take([0, 1])), InvalidVectors, "repeated ids")
    refuses(lambda: index.search(data.take([0]), k=0), InvalidInput, "k = 0")
    expect(len(index) == 0, "a refused call must leave the index as it was")


def _check_ties(index: SparseVectorIndex, data: SparseVectors) -> None:
    at = int(np.argmax(data.active))
    index.add(np.array([9, 3, 7]), data.take([at, at, at]))
    (found,) = index.search(data.take([at]), k=2)
    expect(found.ids.tolist() == [3, 7], f"equal scores must be in order of id, not {found.ids.tolist()}")
