"""Retrievers wrap each other; fusion keeps every stage's score and gives the same order every time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.ranking import Query, Ranking
from gnomon.index.exact import ExactIndex
from gnomon.index.lexical import LexicalIndex
from gnomon.retrieve import Dense, Fuse, FuseSettings, Lexical
from gnomon.testing.toys import HashEncoder

TEXTS = ["green tea at seventy degrees", "black tea takes boiling water", "the blue whale", "a blue kettle"]
IDS = np.array([11, 22, 33, 44])


@pytest.fixture
def encoder() -> HashEncoder:
    return HashEncoder(48)


@pytest.fixture
def dense(encoder: HashEncoder) -> Dense:
    index = ExactIndex(encoder.space)
    index.add(IDS, encoder.encode(TEXTS, role="document"))
    return Dense(encoder, index)


@pytest.fixture
def lexical(tmp_path) -> Lexical:
    index = LexicalIndex.create(tmp_path / "words")
    index.add(IDS, [""] * 4, TEXTS)
    index.commit(1)
    return Lexical(index)


class Fixed:
    """A retriever of given scores by id."""

    def __init__(self, name: str, scores: dict[int, float]) -> None:
        self.name, self.scores = name, scores

    def __call__(self, queries, *, k):
        best = sorted(self.scores.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
        ids = np.array([i for i, _ in best], dtype=np.int64)
        values = np.array([s for _, s in best], dtype=np.float32)
        return [Ranking(ids, values, {self.name: values}) for _ in queries]


def test_dense_and_lexical_find_their_own(dense: Dense, lexical: Lexical) -> None:
    queries = [Query("boiling water"), Query("blue whale")]
    assert [r.ids[0] for r in dense(queries, k=2)] == [22, 33]
    assert [r.ids[0] for r in lexical(queries, k=2)] == [22, 33]
    assert set(dense(queries, k=2)[0].stages) == {"dense"}
    assert set(lexical(queries, k=2)[0].stages) == {"lexical"}
    assert dense([], k=2) == []
    assert Fuse((dense, lexical))([], k=2) == []


def test_another_space_is_refused(dense: Dense) -> None:
    with pytest.raises(SpaceMismatch):
        Dense(HashEncoder(48, salt="other"), dense.index)


def test_filters_of_each_query_are_kept(dense: Dense, lexical: Lexical) -> None:
    tea, blue = np.array([11, 22]), np.array([33, 44])
    queries = [Query("blue tea", tea), Query("blue tea", blue), Query("blue tea"), Query("blue tea", tea)]
    for retriever in (dense, lexical, Fuse((dense, lexical))):
        found = [set(r.ids.tolist()) for r in retriever(queries, k=4)]
        assert found[0] == found[3] == {11, 22}
        assert found[1] == {33, 44}
        assert found[2] == {11, 22, 33, 44}


def test_fusion_adds_stretched_scores_and_keeps_each_stage() -> None:
    fuse = Fuse((Fixed("a", {1: 10.0, 2: 6.0, 3: 2.0}), Fixed("b", {2: 0.5, 4: 0.1})))
    (ranking,) = fuse([Query("any")], k=10)
    assert ranking.ids.tolist() == [2, 1, 3, 4]
    assert ranking.scores.tolist() == pytest.approx([0.75, 0.5, 0.0, 0.0])
    assert ranking.stages["a"].tolist() == pytest.approx([6.0, 10.0, 2.0, np.nan], nan_ok=True)
    assert ranking.stages["b"].tolist() == pytest.approx([0.5, np.nan, np.nan, 0.1], nan_ok=True)
    assert ranking.shares["a"].tolist() == pytest.approx([0.25, 0.5, 0.0, 0.0])
    assert ranking.shares["b"].tolist() == pytest.approx([0.5, 0.0, 0.0, 0.0])


def test_reciprocal_rank_and_weights() -> None:
    parts = (Fixed("a", {1: 10.0, 2: 6.0}), Fixed("b", {2: 0.5, 1: 0.1}))
    even = Fuse(parts, FuseSettings(fusion="rrf"))([Query("any")], k=2)[0]
    assert even.ids.tolist() == [1, 2]  # equal sums: in order of id
    assert even.scores.tolist() == pytest.approx([0.5 / 61 + 0.5 / 62] * 2)
    tilted = Fuse(parts, FuseSettings(fusion="rrf", weights=(0.0, 1.0)))([Query("any")], k=2)[0]
    assert tilted.ids.tolist() == [2, 1]


def test_depth_bounds_what_each_part_gives() -> None:
    shallow = Fuse((Fixed("a", {n: float(-n) for n in range(1, 9)}),), FuseSettings(depth=3))
    assert shallow([Query("any")], k=2)[0].ids.tolist() == [1, 2]
    assert len(shallow([Query("any")], k=5)[0]) == 5


@pytest.mark.parametrize(
    "options", [{"fusion": "borda"}, {"depth": 0}, {"weights": (0.0, 0.0)}, {"weights": (-1.0, 2.0)}]
)
def test_settings_that_make_no_sense_are_refused(options) -> None:
    with pytest.raises(InvalidInput, match=r"fusion|depth|weights"):
        FuseSettings(**options)


def test_weights_must_fit_the_parts() -> None:
    with pytest.raises(InvalidInput, match="1 retrievers with 2 weights"):
        Fuse((Fixed("a", {1: 1.0}),), FuseSettings(weights=(0.5, 0.5)))


scores = st.dictionaries(st.integers(0, 30), st.floats(-5, 5, width=32), max_size=20)


@given(scores, scores, st.integers(1, 12), st.sampled_from(["min-max", "rrf"]))
def test_the_first_k_of_more_are_the_same(a, b, k, fusion) -> None:
    fuse = Fuse((Fixed("a", a), Fixed("b", b)), FuseSettings(fusion=fusion))
    few, many = fuse([Query("any")], k=k)[0], fuse([Query("any")], k=100)[0]
    assert few.ids.tolist() == many.ids.tolist()[:k]
    assert set(many.ids.tolist()) == set(a) | set(b)
    assert (np.diff(many.scores) <= 0).all()
    for ranking in (few, many):
        assert sum(ranking.shares.values()) == pytest.approx(ranking.scores, abs=1e-6)


def test_an_error_of_any_part_reaches_the_caller() -> None:
    def fails(queries, *, k):
        raise InvalidInput("a part", expected="another")

    def finds(queries, *, k):
        return [Ranking(np.array([1]), np.array([0.5], dtype=np.float32)) for _ in queries]

    for parts in ((finds, fails), (fails, finds)):
        with pytest.raises(InvalidInput, match="a part"):
            Fuse(parts)([Query("x")], k=1)


def test_fusions_within_fusions_end_also_with_many_callers() -> None:
    def finds(queries, *, k):
        return [Ranking(np.array([1]), np.array([0.5], dtype=np.float32)) for _ in queries]

    nested = Fuse((Fuse((finds, finds)), Fuse((finds, Fuse((finds, finds))))))
    with ThreadPoolExecutor(32) as pool:
        calls = [pool.submit(nested, [Query("x")], k=1) for _ in range(200)]
        assert all(call.result(30)[0].ids.tolist() == [1] for call in calls)
