"""Maximal marginal relevance against a slow twin; duplicates are never taken."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gnomon.kernels.diversity import mmr

SIXTEENTHS = st.integers(0, 16).map(lambda n: n / 16)  # exact in binary: the twins may not differ by rounding


@st.composite
def candidates(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Relevance, and a symmetric matrix of likeness with 1 on the diagonal."""
    n = draw(st.integers(0, 7))
    relevance = draw(arrays(np.float64, n, elements=SIXTEENTHS))
    half = draw(arrays(np.float64, (n, n), elements=SIXTEENTHS))
    alike = np.maximum(half, half.T)
    np.fill_diagonal(alike, 1.0)
    return relevance, alike


def slow_mmr(relevance: np.ndarray, alike: np.ndarray, diversity: float, duplicate: float) -> list[int]:
    taken: list[int] = []
    while True:
        worths = {}
        for i in range(len(relevance)):
            near = max((float(alike[i, j]) for j in taken), default=0.0)
            if i not in taken and (not taken or near <= duplicate):
                worths[i] = (1 - diversity) * relevance[i] - diversity * near
        if not worths:
            return taken
        taken.append(max(worths, key=lambda i: (worths[i], -i)))


@given(candidates(), SIXTEENTHS, SIXTEENTHS)
def test_it_takes_what_the_formula_says(
    found: tuple[np.ndarray, np.ndarray], diversity: float, duplicate: float
) -> None:
    relevance, alike = found
    taken = mmr(relevance, alike, diversity=diversity, duplicate=duplicate)
    assert taken.tolist() == slow_mmr(relevance, alike, diversity, duplicate)
    pairs = [(i, j) for i in taken for j in taken if i != j]
    assert all(alike[i, j] <= duplicate for i, j in pairs)


@given(candidates())
def test_without_diversity_it_is_the_order_of_relevance(found: tuple[np.ndarray, np.ndarray]) -> None:
    relevance, alike = found
    assert mmr(relevance, alike, diversity=0.0).tolist() == np.argsort(-relevance, kind="stable").tolist()


def test_with_diversity_alone_the_least_alike_comes_second() -> None:
    alike = np.array([[1.0, 0.9, -0.5], [0.9, 1.0, 0.0], [-0.5, 0.0, 1.0]])
    assert mmr(np.array([1.0, 0.9, 0.1]), alike, diversity=1.0).tolist() == [0, 2, 1]
