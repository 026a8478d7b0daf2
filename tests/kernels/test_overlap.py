"""Shared words: the formulas against slow twins."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gnomon.kernels.diversity import containment, idf


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(20, 30))
def test_idf_is_that_of_bm25_and_falls_with_each_text_that_holds_the_word(holders: list[int], texts: int) -> None:
    found = idf(np.array(holders), texts)
    wanted = [math.log(1 + (texts - n + 0.5) / (n + 0.5)) for n in holders]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert (found > 0).all()


@given(st.data())
def test_containment_is_the_share_of_the_weight(data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.floats(0, 10), min_size=1, max_size=6))
    rows = st.lists(st.booleans(), min_size=len(weights), max_size=len(weights))
    held = data.draw(st.lists(rows, min_size=1, max_size=4))
    found = containment(np.array(weights), np.array(held))
    total = math.fsum(weights)
    for share, row in zip(found.tolist(), held, strict=True):
        own = math.fsum(weight for weight, has in zip(weights, row, strict=True) if has)
        assert math.isclose(share, own / total if total > 0 else 0.0, rel_tol=1e-9, abs_tol=1e-12)


def test_containment_of_no_words_is_nothing() -> None:
    assert containment(np.zeros(0), np.zeros((2, 0), dtype=bool)).tolist() == [0.0, 0.0]
