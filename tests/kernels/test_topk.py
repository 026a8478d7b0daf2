"""top_k against sorting everything."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gnomon.kernels.ranking import top_k

# Few different values, so that ties are the rule.
SCORES = st.lists(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 0.5000001, 2.0]), max_size=30)


@given(SCORES, st.integers(1, 35), st.randoms(use_true_random=False))
def test_top_k_is_the_head_of_the_whole_order(scores: list[float], k: int, random: object) -> None:
    ids = list(range(100, 100 + len(scores)))
    random.shuffle(ids)  # type: ignore[attr-defined]
    allowed = [(score, i) for score, i in zip(scores, ids, strict=True) if score > -np.inf]
    wanted = sorted(allowed, key=lambda pair: (-pair[0], pair[1]))[:k]
    best, values = top_k(np.array(scores, dtype=np.float32), np.array(ids, dtype=np.int64), k)
    assert best.tolist() == [i for _, i in wanted]
    np.testing.assert_array_equal(values, np.array([score for score, _ in wanted], dtype=np.float32))


@given(SCORES, st.integers(1, 35), st.randoms(use_true_random=False))
def test_the_order_given_does_not_matter(scores: list[float], k: int, random: object) -> None:
    pairs = list(enumerate(scores))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    one = top_k(np.array(scores), np.arange(len(scores)), k)
    other = top_k(np.array([s for _, s in pairs]), np.array([i for i, _ in pairs], dtype=np.int64), k)
    assert one[0].tolist() == other[0].tolist()
