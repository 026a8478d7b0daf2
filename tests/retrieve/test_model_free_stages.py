"""Feedback, smoothing and prefixes: equal to slow twins, to the plain search where they do nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.ranking import Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.retrieve import (
    RM3,
    Dense,
    Fuse,
    Lexical,
    Neighbours,
    NeighbourSettings,
    PrefixDense,
    RM3Settings,
    Rocchio,
    RocchioSettings,
)
from gnomon.testing.toys import HashEncoder

ASKED = [Query("whale in the ocean"), Query("tea"), Query("engine with a pump and a valve")]


def prefix_of(world, dim):
    vectors = world.vectors.truncate(dim)
    index = ExactIndex(vectors.space)
    index.add(world.ids, vectors)
    return index


def every_stage(world):
    dense, lexical = Dense(world.encoder, world.dense), Lexical(world.lexical)
    rocchio = Rocchio(world.encoder, world.dense, world.lookups.vectors_of)
    rm3 = RM3(world.lexical, world.lookups.texts_of)
    return {
        "rocchio": rocchio,
        "rm3": rm3,
        "neighbours": Neighbours(dense, world.lookups.vectors_of, NeighbourSettings(depth=10)),
        "prefix": PrefixDense(world.encoder, prefix_of(world, 12), world.dense, depth=20),
        "fused": Neighbours(Fuse((rocchio, rm3)), world.lookups.vectors_of),
        "neighbours of words": Neighbours(lexical, world.lookups.vectors_of),
    }


@pytest.mark.parametrize("name", ["rocchio", "rm3", "neighbours", "prefix", "fused", "neighbours of words"])
def test_filters_k_and_order_are_kept(world, name) -> None:
    stage = every_stage(world)[name]
    allowed = world.ids[::4]
    queries = [Query("ocean ship", allowed), Query("ocean ship"), Query("ocean ship", world.ids[:0])]
    held, free, none = stage(queries, k=7)
    assert len(held)
    assert set(held.ids) <= set(allowed)
    assert len(free) == 7
    assert len(none) == 0
    for ranking in (held, free):
        assert len(set(ranking.ids.tolist())) == len(ranking)
        assert (np.diff(ranking.scores) <= 0).all()
    assert stage([], k=3) == []
    # One by one is what all together gives, and fewer are the first of more.
    for query, together in zip(queries, (held, free, none), strict=True):
        assert stage([query], k=7)[0].ids.tolist() == together.ids.tolist()
        assert stage([query], k=3)[0].ids.tolist() == together.ids.tolist()[:3]


def same(one: list[Ranking], other: list[Ranking]) -> bool:
    return all(
        a.ids.tolist() == b.ids.tolist() and a.scores.tolist() == b.scores.tolist()
        for a, b in zip(one, other, strict=True)
    )


@given(st.lists(st.sampled_from("tea whale ship wing pump in the".split()), min_size=1, max_size=6))
def test_what_counts_nothing_changes_nothing(world, words) -> None:
    queries = [Query(" ".join(words)), *ASKED]
    dense, lexical = Dense(world.encoder, world.dense), Lexical(world.lexical)
    vectors_of, texts_of = world.lookups.vectors_of, world.lookups.texts_of
    plain = dense(queries, k=9)
    off = Rocchio(world.encoder, world.dense, vectors_of, RocchioSettings(alpha=1.0, beta=0.0))
    assert same(off(queries, k=9), plain)
    assert same(Neighbours(dense, vectors_of, NeighbourSettings(weight=0.0))(queries, k=9), plain)
    assert same(PrefixDense(world.encoder, world.dense, world.dense, depth=9)(queries, k=9), plain)
    assert same(PrefixDense(world.encoder, prefix_of(world, 3), world.dense, depth=60)(queries, k=9), plain)
    assert same(RM3(world.lexical, texts_of, RM3Settings(share=0.0))(queries, k=9), lexical(queries, k=9))


def test_rocchio_is_the_formula(world) -> None:
    settings = RocchioSettings(alpha=0.7, beta=0.4, documents=4)
    found = Rocchio(world.encoder, world.dense, world.lookups.vectors_of, settings)(ASKED, k=12)
    for query, ranking in zip(ASKED, found, strict=True):
        (vector,) = world.encoder.encode([query.text], role="query").data
        plain = world.vectors.data @ vector
        first = np.argsort(-plain)[:4]
        moved = 0.7 * vector + 0.4 * world.vectors.data[first].mean(axis=0)
        scores = world.vectors.data @ (moved / np.linalg.norm(moved))
        assert ranking.ids.tolist() == world.ids[np.argsort(-scores)[:12]].tolist()
        np.testing.assert_allclose(ranking.scores, np.sort(scores)[::-1][:12], rtol=1e-5)
        assert ranking.stages["rocchio"].tolist() == ranking.scores.tolist()
        before = ranking.stages["dense"]
        known = ~np.isnan(before)
        assert known.any()
        np.testing.assert_allclose(before[known], plain[ranking.ids[known] // 3], rtol=1e-5)


def test_rm3_is_the_formula(world) -> None:
    settings = RM3Settings(documents=5, terms=4, share=0.6)
    found = RM3(world.lexical, world.lookups.texts_of, settings)(ASKED, k=60)
    for query, ranking in zip(ASKED, found, strict=True):
        (first,) = world.lexical.search([query.text], k=5)
        model: Counter[str] = Counter()
        for i, score in zip(first.ids, first.scores, strict=True):
            words = world.lexical.words(world.texts[i // 3])
            for word in words:
                model[word] += score / first.scores.sum() / len(words)
        best = dict(sorted(model.items(), key=lambda pair: (-pair[1], pair[0]))[:4])
        own = set(world.lexical.words(query.text))
        slow = np.zeros(60)
        for word in own | set(best):
            weight = 0.4 * (word in own) + 0.6 * best.get(word, 0.0) / sum(best.values()) * len(own)
            (alone,) = world.lexical.search_terms([{word: 1.0}], k=60)
            slow[alone.ids // 3] += weight * alone.scores
        np.testing.assert_allclose(ranking.scores, slow[ranking.ids // 3], rtol=1e-4)
        assert len(ranking) == np.count_nonzero(slow)
        assert np.nanmax(ranking.stages["lexical"]) == pytest.approx(first.scores[0])


def test_smoothing_is_the_formula_and_what_is_beyond_the_depth_stays_behind(world) -> None:
    dense = Dense(world.encoder, world.dense)
    settings = NeighbourSettings(weight=0.4, neighbours=3, depth=20)
    (plain,), (found,) = (
        dense([ASKED[0]], k=40),
        Neighbours(dense, world.lookups.vectors_of, settings)([ASKED[0]], k=40),
    )
    slow = {}
    rows = world.vectors.data
    for i, score in zip(plain.ids[:20], plain.scores[:20], strict=True):
        others = [j for j in plain.ids[:20] if j != i]
        near = sorted(others, key=lambda j, i=i: -float(rows[i // 3] @ rows[j // 3]))[:3]
        shares = [max(0.0, float(rows[i // 3] @ rows[j // 3])) for j in near]
        means = sum(s * dict(zip(plain.ids, plain.scores, strict=True))[j] for s, j in zip(shares, near))  # noqa: B905
        slow[i] = 0.6 * score + 0.4 * means / sum(shares)
    assert set(found.ids[:20]) == set(plain.ids[:20])
    assert found.ids[20:].tolist() == plain.ids[20:].tolist()
    np.testing.assert_allclose(found.scores[:20], [slow[i] for i in found.ids[:20]], rtol=1e-5)
    assert found.ids[:20].tolist() != plain.ids[:20].tolist()
    assert dict(zip(found.ids, found.stages["unsmoothed"], strict=True)) == dict(
        zip(plain.ids, plain.scores, strict=True)
    )
    assert "dense" in found.stages


def test_two_stages_find_what_the_prefix_found_in_the_order_of_the_whole(world) -> None:
    prefix = prefix_of(world, 6)
    found = PrefixDense(world.encoder, prefix, world.dense, depth=15)(ASKED, k=5)
    short = world.encoder.encode([query.text for query in ASKED], role="query").truncate(6)
    for query, first, ranking in zip(ASKED, prefix.search(short, k=15), found, strict=True):
        (vector,) = world.encoder.encode([query.text], role="query").data
        order = sorted(first.ids.tolist(), key=lambda i: -float(world.vectors.data[i // 3] @ vector))
        assert ranking.ids.tolist() == order[:5]
        assert not np.isnan(ranking.stages["prefix"]).any()


def test_chunks_that_are_gone_are_passed_over(world) -> None:
    gone: list[Query] = [*ASKED, Query("xylophone")]

    def no_vectors(ids):
        return ids[:0], Vectors(np.zeros((0, 32), "f4"), world.encoder.space)

    def no_texts(ids):
        return ids[:0], [], []

    dense, lexical = Dense(world.encoder, world.dense), Lexical(world.lexical)
    assert same(Rocchio(world.encoder, world.dense, no_vectors)(gone, k=8), dense(gone, k=8))
    assert same(Neighbours(dense, no_vectors)(gone, k=8), dense(gone, k=8))
    unchanged = RM3(world.lexical, no_texts, RM3Settings())(gone, k=8)
    for one, plain in zip(unchanged, lexical(gone, k=8), strict=True):
        assert one.ids.tolist() == plain.ids.tolist()


def test_spaces_that_differ_are_refused(world) -> None:
    other = HashEncoder(32, salt="other")
    with pytest.raises(SpaceMismatch):
        Rocchio(other, world.dense, world.lookups.vectors_of)
    with pytest.raises(SpaceMismatch):
        PrefixDense(world.encoder, ExactIndex(other.space.truncate(8)), world.dense)
    with pytest.raises(SpaceMismatch):
        PrefixDense(other, ExactIndex(other.space.truncate(8)), world.dense)

    def others(ids):
        return ids, other.encode(["x"] * len(ids), role="document")

    with pytest.raises(SpaceMismatch):
        Rocchio(world.encoder, world.dense, others)(ASKED, k=3)


@pytest.mark.parametrize(
    ("make", "came"),
    [
        (lambda: RocchioSettings(alpha=0.0, beta=0.0), "alpha 0.0, beta 0.0"),
        (lambda: RocchioSettings(beta=-1.0), "beta -1.0"),
        (lambda: RocchioSettings(alpha=float("nan")), "alpha nan"),
        (lambda: RocchioSettings(documents=0), "from 0 documents"),
        (lambda: RM3Settings(terms=0), "by 0 terms"),
        (lambda: RM3Settings(share=1.5), "share of 1.5"),
        (lambda: NeighbourSettings(weight=-0.1), "weight of -0.1"),
        (lambda: NeighbourSettings(neighbours=0), "0 neighbours among"),
        (lambda: NeighbourSettings(depth=1), "among 1 candidates"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make, came) -> None:
    with pytest.raises(InvalidInput, match=came) as caught:
        make()
    assert caught.value.expected


def test_a_depth_of_nothing_is_refused(world) -> None:
    with pytest.raises(InvalidInput, match="a depth of 0"):
        PrefixDense(world.encoder, world.dense, world.dense, depth=0)
