"""Words with weights: what feedback asks a keyword index for."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.index.lexical import LexicalIndex

WORDS = "pear plum fig lime kiwi quince".split()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    rng = np.random.default_rng(0)
    made = LexicalIndex.create(tmp_path_factory.mktemp("words"))
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(300)]
    made.add(np.arange(300), [""] * 300, texts)
    made.commit(1)
    return made


def test_scores_are_weighted_sums_of_each_words_own(index):
    weights = {"pear": 2.0, "fig": 0.25, "lime": 1.0}
    slow = np.zeros(300)
    for word, weight in weights.items():
        (own,) = index.search([word], k=300)
        slow[own.ids] += weight * own.scores
    (fast,) = index.search_terms([weights], k=300)
    assert len(fast) == np.count_nonzero(slow)
    np.testing.assert_allclose(fast.scores, slow[fast.ids], rtol=1e-5)
    (first,) = index.search_terms([weights], k=7)
    assert first.ids.tolist() == fast.ids[:7].tolist()


def test_weights_of_one_search_as_words_do(index):
    (plain,) = index.search(["figs and a pear"], k=50)
    (weighted,) = index.search_terms([{"fig": 1.0, "pear": 1.0}], k=50)
    assert plain.ids.tolist() == weighted.ids.tolist()
    assert plain.scores.tolist() == weighted.scores.tolist()


def test_filters_and_k_are_kept(index):
    allowed = np.arange(0, 300, 3)
    (found,) = index.search_terms([{"pear": 0.5, "plum": 3.0}], k=20, where=allowed)
    assert len(found) == 20
    assert set(found.ids) <= set(allowed)
    assert index.search_terms([{}], k=5)[0].ids.tolist() == []


def test_words_keep_order_and_repeats(index):
    assert index.words("The pears, and a fig: pear") == ["pear", "fig", "pear"]
    assert index.words("to be or not") == ["to", "be", "or", "not"]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_that_are_not_above_zero_are_refused(index, weight):
    with pytest.raises(InvalidInput, match="weights of words"):
        index.search_terms([{"pear": 1.0, "fig": weight}], k=3)
