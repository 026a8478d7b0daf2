"""Verdicts: what they say, how often they are wrong, and what they refuse."""

import json
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.comparison import (
    DecisionRule,
    PairedValues,
    QueryDifference,
    Verdict,
    compare,
    compare_many,
    judge,
    outcome_of,
)
from gnomon.evaluate.run import Run
from gnomon.evaluate.significance import detectable, mean_intervals, sign_flip_p

MIRRORED = {"better": "worse", "worse": "better", "undecided": "undecided"}


def pair(differences: np.ndarray, names: tuple[str, str] = ("old", "new")) -> PairedValues:
    """Values around the middle whose differences are the given ones."""
    queries = [f"q{i:04}" for i in range(len(differences))]
    baseline = {query: 0.5 - d / 2 for query, d in zip(queries, differences, strict=True)}
    candidate = {query: 0.5 + d / 2 for query, d in zip(queries, differences, strict=True)}
    return PairedValues("nDCG@10", baseline, candidate, names)


def drawn(mean: float, sd: float, n: int, seed: int = 0) -> np.ndarray:
    """Differences whose mean and standard deviation are exactly these."""
    values = np.random.default_rng(seed).uniform(-1, 1, n)
    return (values - values.mean()) / values.std(ddof=1) * sd + mean


@pytest.mark.parametrize(
    ("mean", "n", "outcome"),
    [
        (0.03, 300, "better"),
        (0.002, 3000, "not worse"),
        (-0.004, 3000, "not worse"),
        (-0.03, 300, "worse"),
        (0.0, 100, "undecided"),
        (0.01, 30, "undecided"),
    ],
)
def test_the_four_outcomes(mean: float, n: int, outcome: str) -> None:
    verdict = judge(pair(drawn(mean, 0.1, n)))
    assert verdict.outcome == outcome
    assert verdict.difference == pytest.approx(mean, abs=1e-9)
    assert verdict.interval[0] < mean < verdict.interval[1]
    assert (verdict.queries_to_settle is None) == (outcome != "undecided")
    assert verdict.detectable == pytest.approx(detectable(0.1, n))


def test_a_real_loss_within_the_margin_is_not_worse_and_noted() -> None:
    verdict = judge(pair(drawn(-0.006, 0.05, 3000)))
    assert (verdict.outcome, verdict.p_value < 0.001) == ("not worse", True)
    assert verdict.notes == (
        f"there is a real loss (p = {verdict.p_value:.2g}), but it is smaller than the margin of 0.01",
    )


@pytest.mark.parametrize(
    ("interval", "p", "outcome"),
    [
        ((0.001, 0.02), 0.01, "better"),
        ((0.001, 0.02), 0.06, "not worse"),
        ((-0.009, 0.02), 0.04, "not worse"),
        ((-0.01, 0.02), 0.04, "undecided"),
        ((-0.03, -0.001), 0.04, "worse"),
        ((-0.03, -0.001), 0.06, "undecided"),
        ((-0.03, 0.001), 0.04, "undecided"),
        ((-0.009, -0.001), 0.001, "not worse"),
    ],
)
def test_interval_and_test_must_agree(interval: tuple[float, float], p: float, outcome: str) -> None:
    assert outcome_of(interval, p, DecisionRule()) == outcome


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([-0.08, -0.03, 0.0, 0.03, 0.08]))
def test_sides_can_be_swapped(seed: int, mean: float) -> None:
    """The interval is mirrored but for the draws; with the margin out of reach, so is the outcome."""
    differences, rule = drawn(mean, 0.15, 60, seed), DecisionRule(margin=1e-6)
    one, other = judge(pair(differences), rule), judge(pair(-differences), rule)
    assert one.p_value == pytest.approx(other.p_value, abs=1e-12)
    assert one.interval == pytest.approx([-end for end in reversed(other.interval)], abs=0.012)
    assert (one.wins, one.losses) == (other.losses, other.wins)
    if min(abs(end) for end in (*one.interval, *other.interval)) > 0.012:
        assert other.outcome == MIRRORED[one.outcome]


def shares(differences: np.ndarray, rule: DecisionRule) -> dict[str, float]:
    """How often each outcome comes: columns are samples; the test decides only where 0 is left out."""
    outcomes = []
    intervals = mean_intervals(differences, limits=(-1.0, 1.0), resamples=1_000)
    for column, (low, high) in zip(differences.T, intervals, strict=True):
        p = sign_flip_p(column, flips=1_000) if low > 0 or high < 0 else 1.0
        outcomes.append(outcome_of((low, high), p, rule))
    return {name: outcomes.count(name) / len(outcomes) for name in ("better", "not worse", "worse")}


@pytest.mark.parametrize("n", [12, 60, 400])
def test_an_equal_system_is_seldom_called_better_or_worse(n: int) -> None:
    """600 samples of ties and skewed changes with mean 0; alpha / 2 with three standard errors is 4.4%."""
    draws = np.random.default_rng(n)
    changed = draws.random((n, 600)) < 0.4
    wins = draws.random((n, 600)) < 0.75
    differences = changed * np.where(wins, 0.1, -0.3)
    found = shares(differences, DecisionRule())
    assert found["better"] <= 0.044
    assert found["worse"] <= 0.044


@pytest.mark.parametrize("n", [30, 150, 600])
@pytest.mark.parametrize("loss", [0.2, 1.0])
def test_a_system_worse_by_the_margin_seldom_passes(n: int, loss: float) -> None:
    """2,000 samples in which few queries lose much: alpha with two standard errors is 6%."""
    draws = np.random.default_rng(n)
    differences = -loss * (draws.random((n, 2_000)) < 0.02 / loss)
    found = shares(differences, DecisionRule(margin=0.02))
    assert found["better"] + found["not worse"] <= 0.06


@pytest.mark.parametrize(("mean", "most"), [(0.004, 1_000), (-0.009, 2_000)])
def test_the_queries_that_would_settle_it_do(mean: float, most: int) -> None:
    """Of samples of that size from the same source, about four of five are decided, to either side."""
    differences = drawn(mean, 0.12, 80, seed=3)
    first = judge(pair(differences))
    assert first.outcome == "undecided"
    assert first.queries_to_settle is not None
    assert first.queries_to_settle < most
    draws = np.random.default_rng(1)
    again = draws.choice(differences, (first.queries_to_settle, 200))
    found = shares(again, DecisionRule())
    assert 0.7 < sum(found.values()) < 0.92


def test_all_ties_prove_no_more_than_the_rule_of_three() -> None:
    assert judge(pair(np.zeros(100))).outcome == "undecided"
    assert judge(pair(np.zeros(100))).queries_to_settle == 300
    assert judge(pair(np.zeros(400))).outcome == "not worse"


def runs() -> tuple[Run, Run, dict[str, dict[str, int]]]:
    """40 queries; the candidate is right where the baseline is second, on 30 of them, and worse on 4."""
    right, second = {"a": 2.0, "b": 1.0}, {"a": 1.0, "b": 2.0}
    queries = [f"q{i:02}" for i in range(40)]
    baseline = {query: right if i >= 30 else second for i, query in enumerate(queries)}
    candidate = {query: second if i >= 36 else right for i, query in enumerate(queries)}
    return Run("old", baseline), Run("new", candidate), {query: {"a": 1} for query in queries}


def test_compare_counts_and_names_what_changed() -> None:
    old, new, judged = runs()
    verdict = compare(old, new, judged, metric="MRR@10", margin=0.02)
    assert (verdict.outcome, verdict.n) == ("better", 40)
    assert (verdict.wins, verdict.ties, verdict.losses) == (30, 6, 4)
    assert (verdict.baseline, verdict.candidate, verdict.metric) == ("old", "new", "MRR@10")
    assert verdict.mean_baseline == pytest.approx((30 * 0.5 + 10) / 40)
    assert verdict.mean_candidate == pytest.approx((36 + 4 * 0.5) / 40)
    assert verdict.changed[0] == QueryDifference("q00", 0.5, 1.0)
    assert len(verdict.changed) == 10
    assert len(verdict.changes) == 40
    assert verdict == compare(old, new, judged, metric="MRR@10", margin=0.02)
    with pytest.raises(FrozenInstanceError):
        verdict.outcome = "worse"  # type: ignore[misc]


def test_a_verdict_explains_itself_and_goes_into_json() -> None:
    verdict = Verdict(
        "undecided", "old", "new", "nDCG@10", 0.7, 0.69, -0.01, (-0.03, 0.012), 0.31,
        1200, 100, 1000, 100, 0.01, 0.05, 0.02, 5400, ("a note",),
        (QueryDifference("q", 0.0, 1.0), QueryDifference("r", 1.0, 1.0)),
    )  # fmt: skip
    assert verdict.explain() == (
        "Undecided whether new is worse than old: nDCG@10 0.6900 against 0.7000, a difference of -0.0100 "
        "(-0.0300 to +0.0120, p = 0.31) over 1,200 queries; about 5,400 such queries would settle it."
    )
    sentences = {
        "better": "new is better than old: ",
        "not worse": "new is not worse than old by 0.01 or more: ",
        "worse": "new is worse than old: ",
    }
    for outcome, start in sentences.items():
        assert replace(verdict, outcome=outcome, queries_to_settle=None).explain().startswith(start)
    body = json.loads(json.dumps(verdict.to_json()))
    assert body["interval"] == [-0.03, 0.012]
    assert body["changed"] == [{"query": "q", "baseline": 0.0, "candidate": 1.0}]
    assert (body["outcome"], body["queries_to_settle"], body["notes"]) == ("undecided", 5400, ["a note"])
    assert "changes" not in body


def test_several_comparisons_share_alpha() -> None:
    old, new, judged = runs()
    alone = compare(old, new, judged, metric="MRR@10")
    many = compare_many(old, [new, old], judged, metrics=["MRR@10", "recall@10"])
    assert [(v.candidate, v.metric) for v in many] == [
        ("new", "MRR@10"), ("new", "recall@10"), ("old", "MRR@10"), ("old", "recall@10"),
    ]  # fmt: skip
    assert many[0].p_value == pytest.approx(4 * alone.p_value)
    assert many[0].interval[0] < alone.interval[0]
    assert many[0].notes == ("p-values and intervals are corrected for 4 comparisons",)


def test_what_is_left_out_is_noted() -> None:
    old, new, judged = runs()
    more = old.with_queries(["extra1", "extra2"])
    verdict = compare(more, new, {**judged, "none": {"a": 0}})
    assert verdict.notes == (
        "2 queries without judgments are left out",
        "1 judged queries without a relevant document are left out",
    )


def test_runs_that_were_not_asked_the_same_are_refused() -> None:
    old, new, judged = runs()
    part = Run("part", {query: found for query, found in new.results.items() if query > "q04"})
    with pytest.raises(InvalidInput) as error:
        compare(old, part, judged)
    assert error.value.message == "5 of 40 judged queries are not in the run 'part': q00, q01, q02, …"
    assert "run.with_queries(queries)" in error.value.hint
    assert compare(old, part.with_queries(judged), judged).losses == 9


def test_a_run_of_another_corpus_is_refused() -> None:
    old, _, judged = runs()
    other = Run("other", {query: {"doc-1": 1.0, "doc-2": 0.5} for query in judged})
    with pytest.raises(InvalidInput) as error:
        compare(old, other, judged)
    assert error.value.message == "none of the 80 documents that the run 'other' returned is judged"
    assert "another corpus" in error.value.hint


def test_fewer_than_ten_queries_get_no_verdict() -> None:
    old, new, judged = runs()
    few = {query: judged[query] for query in sorted(judged)[:9]}
    with pytest.raises(InvalidInput, match="9 queries: too few for a verdict") as error:
        compare(old, new, few)
    assert error.value.expected.startswith("at least 10 queries with a relevant document")
    assert compare(old, new, {query: judged[query] for query in sorted(judged)[:10]}).n == 10


@pytest.mark.parametrize("margin", [0, -0.01, 1, float("nan")])
def test_a_margin_that_decides_nothing_is_refused(margin: float) -> None:
    with pytest.raises(InvalidInput, match=f"a margin of {margin:g}") as error:
        compare(*runs(), margin=margin)
    assert "with 0, no number of queries could ever show" in error.value.hint


def test_other_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidInput, match="alpha 5"):
        compare(*runs(), alpha=5)
    with pytest.raises(InvalidInput, match="there is no metric 'speed'"):
        compare(*runs(), metric="speed")
    with pytest.raises(InvalidInput, match="0 comparisons"):
        DecisionRule(comparisons=0)
    with pytest.raises(InvalidInput, match="1 are on one side only, 'q' first"):
        PairedValues("MAP", {"q": 1.0}, {})
