"""Reranking: by a scorer, and by late interaction; no candidate is lost, and scores fall."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.ranking import Query, Ranking
from gnomon.core.similarity import maxsim
from gnomon.index.exact import ExactIndex
from gnomon.retrieve import Dense, EncodedTexts, LateRerank, Lexical, Rerank, RerankSettings
from gnomon.testing import HashEncoder, LateHashEncoder
from gnomon.testing.encoder import check_scorer

QUERIES = [Query("whale krill ocean"), Query("tea kettle"), Query("pump valve flow drag")]


class Overlap:
    """Scores by late interaction of words."""

    def __init__(self) -> None:
        self.encoder = LateHashEncoder()
        self.calls: list[int] = []

    def score(self, query, texts):
        self.calls.append(len(texts))
        asked, held = (self.encoder.encode(t, role="query") for t in ([query], texts))
        return maxsim(asked.data, held.data, held.starts).astype(np.float32)


@dataclass
class Fixed:
    """Finds the same ids for every query."""

    ranking: Ranking
    asked: list[int] = field(default_factory=list)

    def __call__(self, queries, *, k):
        self.asked.append(k)
        return [self.ranking.first(k) for _ in queries]


def ranking(ids, scores):
    return Ranking(np.array(ids, dtype=np.int64), np.array(scores, dtype=np.float32))


def lengths(ids):
    """A text for each id but those that seven divides; its length is the id."""
    kept = np.array([one for one in ids if one % 7], dtype=np.int64)
    return kept, [""] * len(kept), ["x" * int(one) for one in kept]


class ByLength:
    def score(self, query, texts):
        return np.array([len(text) for text in texts], dtype=np.float32)


def test_the_first_of_another_retriever_in_the_scorers_order(world):
    scorer = Overlap()
    check_scorer(scorer)
    scorer.calls.clear()
    part = Dense(world.encoder, world.dense)
    found = Rerank(part, scorer, world.lookups.texts_of, depth=20)(QUERIES, k=60)
    assert scorer.calls == [20, 20, 20]
    for query, before, after in zip(QUERIES, part(QUERIES, k=60), found, strict=True):
        assert sorted(after.ids) == sorted(before.ids)
        assert set(after.ids[:20]) == set(before.ids[:20])
        assert after.ids[20:].tolist() == before.ids[20:].tolist()
        wanted = scorer.score(query.text, [world.texts[one // 3] for one in after.ids[:20]])
        np.testing.assert_allclose(after.scores[:20], wanted, rtol=1e-6)
        assert (np.diff(after.scores) <= 0).all()
        assert list(after.stages) == ["found", "dense", "rerank"]
        np.testing.assert_array_equal(after.stages["rerank"][:20], after.scores[:20])
        assert np.isnan(after.stages["rerank"][20:]).all()
        back = {int(one): score for one, score in zip(before.ids, before.scores, strict=True)}
        assert [back[int(one)] for one in after.ids] == after.stages["found"].tolist()


def test_k_and_depth():
    part = Fixed(ranking(range(1, 7), [6, 5, 4, 3, 2, 1]))
    found = Rerank(part, ByLength(), lengths, depth=4)([Query("any")], k=2)[0]
    assert (part.asked, found.ids.tolist(), found.scores.tolist()) == ([4], [4, 3], [4, 3])
    found = Rerank(part, ByLength(), lengths, depth=4)([Query("any")], k=6)[0]
    assert found.ids.tolist() == [4, 3, 2, 1, 5, 6]
    assert found.scores.tolist() == [4, 3, 2, 1, 1, 0]
    assert Rerank(part, ByLength(), lengths)([], k=3) == []


def test_a_weight_below_one_mixes_both_scores():
    part = Fixed(ranking([2, 6, 4, 7], [8, 4, 0, -1]))
    # The scorer says 2, 6 and 4, which is 0, 1 and 0.5; those found are 1, 0.5 and 0; 7 has no text.
    found = Rerank(part, ByLength(), lengths, weight=0.25)([Query("any")], k=9)[0]
    assert found.ids.tolist() == [2, 6, 4, 7]
    np.testing.assert_allclose(found.scores[:3], [0.75, 0.625, 0.125])
    assert found.stages["rerank"][:3].tolist() == [2, 6, 4]
    found = Rerank(part, ByLength(), lengths, weight=0.75)([Query("any")], k=9)[0]
    assert found.ids.tolist() == [6, 4, 2, 7]
    for weight in (0, -1, 1.1, float("nan")):
        with pytest.raises(InvalidInput, match="weight"):
            Rerank(part, ByLength(), lengths, weight=weight)


def test_equal_scores_are_the_best_of_their_scale():
    found = Rerank(Fixed(ranking([2], [8])), ByLength(), lengths, weight=0.25)([Query("any")], k=9)[0]
    assert found.scores.tolist() == [1.0]


def test_the_weight_is_still_taken_by_its_old_name():
    with pytest.warns(DeprecationWarning, match="is now weight"):
        settings = RerankSettings("model", share=0.5)
    assert settings == RerankSettings("model", weight=0.5)
    with pytest.warns(DeprecationWarning, match="is now weight"):
        assert settings.share == 0.5


@given(
    st.lists(st.integers(1, 40), unique=True, max_size=12),
    st.integers(1, 15),
    st.integers(1, 15),
)
def test_no_candidate_is_lost_and_scores_fall(ids, depth, k):
    scores = np.sort(np.random.default_rng(len(ids)).random(len(ids)))[::-1]
    before = ranking(ids, scores)
    found = Rerank(Fixed(before), ByLength(), lengths, depth=depth)([Query("any")], k=k)[0]
    whole = Rerank(Fixed(before), ByLength(), lengths, depth=depth)([Query("any")], k=99)[0]
    assert found.ids.tolist() == whole.ids[:k].tolist()
    assert sorted(whole.ids) == sorted(ids)
    assert (np.diff(whole.scores) <= 0).all()
    judged = sorted((one for one in ids[:depth] if one % 7), reverse=True)
    rest = [one for one in ids if one not in judged]
    assert whole.ids.tolist() == judged + rest


def test_titles_are_read_before_the_texts():
    read = []

    class Reader(ByLength):
        def score(self, query, texts):
            read.extend(texts)
            return super().score(query, texts)

    def texts_of(ids):
        return ids, ["Tea", ""], ["is a drink", "no title"]

    Rerank(Fixed(ranking([1, 2], [2, 1])), Reader(), texts_of)([Query("any")], k=2)
    assert read == ["Tea\nis a drink", "no title"]


@pytest.mark.parametrize("scores", [[1.0], [1.0, np.nan], [1.0, np.inf]])
def test_scores_that_are_none_are_refused(scores):
    class Bad:
        def score(self, query, texts):
            return np.array(scores, dtype=np.float32)

    retriever = Rerank(Fixed(ranking([1, 2], [2, 1])), Bad(), lengths)
    with pytest.raises(InvalidInput, match="for 2 texts") as caught:
        retriever([Query("any")], k=2)
    assert "check_scorer" in caught.value.hint


def test_a_depth_of_nothing_is_refused(world):
    part = Dense(world.encoder, world.dense)
    with pytest.raises(InvalidInput, match="depth of 0"):
        Rerank(part, ByLength(), lengths, depth=0)
    with pytest.raises(InvalidInput, match="depth of 0"):
        LateRerank(part, LateHashEncoder(), EncodedTexts(LateHashEncoder(), lengths), depth=0)


def test_late_interaction_from_texts_and_from_an_index_agree_with_a_scorer(world):
    encoder = LateHashEncoder()
    index = ExactIndex(encoder.space)
    index.add(world.ids, encoder.encode(world.texts, role="document"))
    part = Lexical(world.lexical)
    texts_of = world.lookups.texts_of
    wanted = Rerank(part, Overlap(), texts_of, depth=10)(QUERIES, k=30)
    for source in (index, EncodedTexts(encoder, texts_of)):
        found = LateRerank(part, encoder, source, depth=10)(QUERIES, k=30)
        for one, other in zip(found, wanted, strict=True):
            assert len(one) > 3
            assert sorted(one.ids) == sorted(other.ids)
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5)
            assert list(one.stages) == ["found", "lexical", "late"]


def test_what_the_index_lacks_comes_after(world):
    encoder = LateHashEncoder()
    index = ExactIndex(encoder.space)
    index.add(world.ids[:30], encoder.encode(world.texts[:30], role="document"))
    found = LateRerank(Dense(world.encoder, world.dense), encoder, index)(QUERIES, k=60)
    for one in found:
        assert len(one) == 60
        assert set(one.ids[:30]) == set(world.ids[:30])
        assert np.isnan(one.stages["late"][30:]).all()
        assert (np.diff(one.scores) <= 0).all()


def test_stages_of_several_rerankings_are_kept(world):
    encoder, texts_of = LateHashEncoder(), world.lookups.texts_of
    part = LateRerank(Lexical(world.lexical), encoder, EncodedTexts(encoder, texts_of), depth=10)
    found = Rerank(part, ByLength(), texts_of, depth=5)(QUERIES, k=10)[0]
    assert list(found.stages) == ["found", "lexical", "late", "rerank"]
    np.testing.assert_array_equal(found.stages["found"], found.stages["lexical"])


def test_texts_are_encoded_once_while_they_are_remembered():
    class Counted(LateHashEncoder):
        encoded: int = 0

        def encode(self, texts, *, role):
            self.encoded += len(texts)
            return super().encode(texts, role=role)

    texts = {1: "tea", 2: "kettle water", 3: "whale"}

    def texts_of(ids):
        return ids, [""] * len(ids), [texts[int(one)] for one in ids]

    encoder = Counted()
    source = EncodedTexts(encoder, texts_of, capacity=2)
    for ids, wanted in (([1, 2], 2), ([1, 2], 2), ([1, 3], 3), ([1], 3), ([2], 4)):
        known, vectors = source(np.array(ids))
        assert (encoder.encoded, len(vectors), known.tolist()) == (wanted, len(ids), ids)
    texts[2] = "another text"
    assert len(source(np.array([2]))[1].data) == 2
    assert encoder.encoded == 5
    assert len(source(np.array([], dtype=np.int64))[1]) == 0
    with pytest.raises(InvalidInput, match="capacity of 0"):
        EncodedTexts(encoder, texts_of, capacity=0)


def test_encoders_and_sources_that_do_not_fit(world):
    part = Dense(world.encoder, world.dense)
    with pytest.raises(InvalidInput, match="whose similarity is cosine") as caught:
        LateRerank(part, HashEncoder(32), EncodedTexts(LateHashEncoder(), lengths))
    assert "Rerank" in caught.value.hint
    with pytest.raises(SpaceMismatch):
        LateRerank(part, LateHashEncoder(), ExactIndex(LateHashEncoder(salt="other").space))
    other = EncodedTexts(LateHashEncoder(salt="other"), world.lookups.texts_of)
    with pytest.raises(SpaceMismatch):
        LateRerank(part, LateHashEncoder(), other)(QUERIES, k=3)
