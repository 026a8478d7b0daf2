"""The residual map of query vectors, on vectors whose right map is known."""

import numpy as np
import pytest

from gnomon.adapt.query_residual import (
    USUAL,
    RelevanceTargets,
    adapted,
    choose_strength,
    fit_path,
    path_to,
)
from gnomon.core.similarity import normalise

DIM, QUERIES, PASSAGES = 24, 60, 200


@pytest.fixture(scope="module")
def turned():
    """Queries that are their passages turned a little: a linear map brings them back."""
    drawn = np.random.default_rng(0)
    passages = normalise(drawn.standard_normal((PASSAGES, DIM)).astype(np.float32))
    turn = np.eye(DIM, dtype=np.float32) + 0.25 * drawn.standard_normal((DIM, DIM)).astype(np.float32)
    right = drawn.permutation(PASSAGES)[:QUERIES]
    targets = np.zeros((QUERIES, PASSAGES), dtype=np.float32)
    targets[np.arange(QUERIES), right] = 1
    return RelevanceTargets(normalise(passages[right] @ turn), passages, targets)


def found(data, residual):
    """The share of queries whose first passage is the relevant one."""
    first = (adapted(data.queries, residual) @ data.passages.T).argmax(axis=1)
    return float(data.targets[np.arange(len(data)), first].mean())


def test_an_infinite_penalty_changes_no_query(turned):
    (residual,) = fit_path(turned, [float("inf")])
    assert not residual.any()
    assert np.array_equal(adapted(turned.queries, residual), normalise(turned.queries))


def test_a_weaker_penalty_allows_a_larger_map(turned):
    sizes = [float(np.linalg.norm(each)) for each in fit_path(turned, [100.0, 3.0, 1.0, 0.2])]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 5


def test_what_is_learnt_holds_for_queries_that_were_not_fitted_to(turned):
    seen, unseen = np.arange(QUERIES)[::2], np.arange(QUERIES)[1::2]
    nothing = np.zeros((DIM, DIM), dtype=np.float32)
    residual = fit_path(turned.take(seen), path_to(choose_strength(turned.take(seen))))[-1]
    held_out = turned.take(unseen)
    after, before = (held_out.losses(adapted(held_out.queries, each)) for each in (residual, nothing))
    assert after.mean() < before.mean()
    assert found(held_out, residual) > found(held_out, nothing)


def test_of_relevance_drawn_by_chance_no_more_is_learnt_than_usual(turned):
    drawn = np.random.default_rng(1)
    targets = np.zeros_like(turned.targets)
    targets[np.arange(QUERIES), drawn.integers(0, PASSAGES, QUERIES)] = 1
    queries = normalise(drawn.standard_normal((QUERIES, DIM)).astype(np.float32))
    assert choose_strength(RelevanceTargets(queries, turned.passages, targets)) >= USUAL


def test_where_much_is_to_be_learnt_the_penalty_is_weak(turned):
    assert choose_strength(turned) < USUAL


def test_the_loss_of_a_row_of_equal_scores_is_the_logarithm_of_its_length():
    data = RelevanceTargets(
        np.eye(2, dtype=np.float32)[:1], np.tile(np.eye(2, dtype=np.float32)[1], (8, 1)), np.full((1, 8), 1 / 8)
    )
    (loss,) = data.losses(data.queries)
    assert loss == pytest.approx(np.log(8))
