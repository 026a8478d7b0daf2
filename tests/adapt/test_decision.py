"""What is shown and what is not: simulated differences of known size."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.adapt.candidates import Candidate
from gnomon.adapt.decision import Prior, Tried, assess, choose, expected_of_choosing, folds_of
from gnomon.evaluate.multiple_comparisons import max_t

QUERIES = [f"q{number}" for number in range(50)]


def tried(name: str, values: np.ndarray, prior: Prior = Prior(), family: str = "fusion") -> Tried:  # noqa: B008
    return Tried(Candidate(name, family), dict(zip(QUERIES, values.tolist(), strict=True)), prior)  # type: ignore[arg-type]


def noisy_copies(seed: int, many: int = 12, spread: float = 0.2) -> tuple[dict[str, float], list[Tried]]:
    """A baseline, and candidates that are as good as it on average, each by other queries."""
    draws = np.random.default_rng(seed)
    own = draws.uniform(0.3, 0.7, len(QUERIES))
    flips = draws.choice([-1.0, 1.0], len(QUERIES))[:, None]
    away = flips * draws.normal(0, spread, (len(QUERIES), many)) * (draws.random((len(QUERIES), many)) < 0.4)
    candidates = [tried(f"copy {at}", np.clip(own + away[:, at], 0, 1)) for at in range(many)]
    return dict(zip(QUERIES, own.tolist(), strict=True)), candidates


def test_copies_of_the_baseline_are_declined() -> None:
    baseline, candidates = noisy_copies(0, spread=0.0)
    estimates = assess(baseline, candidates)
    assert choose(estimates) is None
    assert {one.p_value for one in estimates} == {1.0}
    accepted = sum(choose(assess(*noisy_copies(seed))) is not None for seed in range(40))
    assert accepted <= 2


def test_one_that_is_better_by_a_lot_is_taken_among_copies() -> None:
    taken = 0
    for seed in range(10):
        baseline, candidates = noisy_copies(seed)
        gained = np.array(list(baseline.values())) + np.random.default_rng([7, seed]).normal(0.15, 0.2, len(QUERIES))
        chosen = choose(assess(baseline, [*candidates, tried("better", np.clip(gained, 0, 1))]))
        taken += chosen is not None and chosen.candidate.name == "better"
    assert taken >= 9


def test_the_first_hypothesis_opens_its_family_and_no_other() -> None:
    draws = np.random.default_rng(3)
    own = draws.uniform(0.3, 0.6, len(QUERIES))
    baseline = dict(zip(QUERIES, own.tolist(), strict=True))
    noise = draws.normal(0, 0.1, len(QUERIES))
    gained = np.clip(own + noise - noise.mean() + 0.024, 0, 1)  # z of about 1.7: too little for many candidates
    known = Prior(0.018, 0.015)

    def shown(first: bool, family: str = "spaces") -> list[str]:
        others = [tried(f"other {seed}", np.clip(own + draws.normal(0, 0.2, 50), 0, 1)) for seed in range(10)]
        candidates = [tried("first", gained, Prior(0.018, 0.015, is_first=first), "spaces")]
        candidates.append(tried("same", gained, known, family))
        return [one.candidate.name for one in assess(baseline, [*candidates, *others]) if one.is_shown]

    assert shown(first=True) == ["first", "same"]
    assert shown(first=True, family="feedback") == ["first"]
    assert shown(first=False) == []


def test_a_prior_moves_the_expected_gain_and_many_labels_outweigh_it() -> None:
    baseline, (one, *_) = noisy_copies(1, many=1)
    by_prior = {
        mean: assess(baseline, [Tried(one.candidate, one.values, Prior(mean, 0.01))])[0].expected
        for mean in (-0.05, 0.05)
    }
    plain = assess(baseline, [one])[0]
    assert by_prior[-0.05] < plain.expected < by_prior[0.05]
    assert abs(plain.expected) < abs(plain.difference)
    wide = assess(baseline, [Tried(one.candidate, one.values, Prior(0.05, 100.0))])[0]
    assert wide.expected == pytest.approx(wide.difference, abs=1e-3)


def test_choosing_is_valued_on_queries_that_had_no_part_in_it() -> None:
    baseline, candidates = noisy_copies(2)
    lucky = np.array(list(baseline.values()))
    lucky[:5] = 1.0  # so much better on five queries that it is chosen only where they take part
    candidates = [*candidates, tried("lucky", lucky, Prior(0.2, 0.01, is_first=True), "spaces")]
    folds = {query: int(at >= 5) for at, query in enumerate(QUERIES)}
    after = expected_of_choosing(baseline, candidates, folds)
    assert {query: after[query] for query in QUERIES[:5]} == {query: baseline[query] for query in QUERIES[:5]}


def test_folds_are_even_repeatable_and_keep_equal_texts_together() -> None:
    texts = {query: f"text {number // 2}" for number, query in enumerate(QUERIES)}
    folds = folds_of(texts)
    assert folds == folds_of(texts) != folds_of(texts, seed=1)
    assert all(folds[QUERIES[at]] == folds[QUERIES[at + 1]] for at in range(0, 50, 2))
    assert sorted(np.bincount(list(folds.values())).tolist()) == [10] * 5


def test_p_values_hold_for_all_candidates_together() -> None:
    false = 0
    for seed in range(100):
        draws = np.random.default_rng(seed)
        found = max_t(draws.normal(0, 0.2, (40, 8)), flips=500)
        false += bool(found.p_values.min() <= 0.05)
        assert (found.lows <= found.means).all()
        assert (found.p_greater[found.means < 0] == 1).all()
    assert false <= 12
    one = np.random.default_rng(0).normal(0.07, 0.2, (60, 1))
    alone = max_t(one)
    with_more = max_t(np.hstack([one, np.random.default_rng(1).normal(0, 0.2, (60, 9))]))
    assert alone.p_values[0] < with_more.p_values[0] < 0.05
    assert with_more.lows[0] > 0
    same = max_t(np.hstack([one] * 10))
    assert same.p_values[0] == alone.p_values[0]  # copies of one candidate count as one
