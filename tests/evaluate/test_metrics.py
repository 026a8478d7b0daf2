"""Metrics: equal to trec_eval's on random and tied runs, parsed from names, with intervals."""

import sys

import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.metrics import DEFAULT_METRICS, Metric, coverage, parse_metric, per_query, summary
from gnomon.evaluate.run import Run

DOCUMENTS = [f"d{i}" for i in range(12)]
QUERIES = ["q1", "q2", "q3"]
# Few values, two of them equal only in single precision: most runs have ties.
SCORES = st.sampled_from([0.5, 1.0, 1.0 + 1e-9, 2.0, -3.0]) | st.floats(-5, 5)
RESULTS = st.dictionaries(
    st.sampled_from([*QUERIES, "unjudged"]), st.dictionaries(st.sampled_from(DOCUMENTS), SCORES), max_size=4
)
# No negative grades: trec_eval's C code in pytrec-eval-terrier 0.5.11 reads memory that it never set for a
# query whose grades are all negative, and may loop for ever. Ours never reach it: they count as 0 before.
GRADES = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 3), min_size=1)
JUDGED = st.dictionaries(st.sampled_from(QUERIES), GRADES, min_size=1).filter(
    lambda judged: any(grade > 0 for grades in judged.values() for grade in grades.values())
)
NAMES = {
    "nDCG@10": "ndcg_cut_10",
    "nDCG@3": "ndcg_cut_3",
    "nDCG": "ndcg",
    "recall@5": "recall_5",
    "recall@100": "recall_100",
    "MRR": "recip_rank",
    "MAP": "map",
    "MAP@3": "map_cut_3",
    "precision@1": "P_1",
    "precision@7": "P_7",
    "success@2": "success_2",
}


def judge_all(judged: dict, results: dict, measures: set[str]) -> dict[str, dict[str, float]]:
    """trec_eval itself, by measure, with the queries that it leaves out counted as -c does: 0."""
    found = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(results)
    counted = [query for query, grades in judged.items() if any(grade > 0 for grade in grades.values())]
    return {measure: {query: found.get(query, {}).get(measure, 0.0) for query in counted} for measure in measures}


def judge(judged: dict, results: dict, measure: str) -> dict[str, float]:
    """One measure of it."""
    return judge_all(judged, results, {measure})[measure]


@settings(max_examples=200)
@given(RESULTS, JUDGED)
def test_every_metric_is_trec_evals(results: dict, judged: dict) -> None:
    metrics = {name: parse_metric(name) for name in NAMES}
    found = per_query(Run("r", results), judged, metrics.values())
    expected = judge_all(judged, results, set(NAMES.values()))
    for name, measure in NAMES.items():
        assert found[metrics[name]] == pytest.approx(expected[measure], abs=1e-6), name


@given(RESULTS, JUDGED, st.integers(1, 5))
def test_mrr_with_a_cut_is_trec_evals_on_the_first_k(results: dict, judged: dict, k: int) -> None:
    run = Run("r", results)
    first = {query: {d: run.results[query][d] for d in run.ranking(query)[:k]} for query in results}
    found = parse_metric(f"MRR@{k}").per_query(run, judged)
    assert found == pytest.approx(judge(judged, first, "recip_rank"), abs=1e-6)


@given(RESULTS, JUDGED, st.integers(-3, -1))
def test_negative_grades_count_as_none(results: dict, judged: dict, least: int) -> None:
    lower = {query: {d: grade or least for d, grade in own.items()} for query, own in judged.items()}
    metrics = [parse_metric(name) for name in NAMES]
    assert per_query(Run("r", results), lower, metrics) == per_query(Run("r", results), judged, metrics)


def test_queries_come_in_sorted_order_and_those_without_results_count_0() -> None:
    judged = {"q2": {"a": 1}, "q1": {"a": 1}, "q0": {"a": 0}, "q3": {"b": 2}}
    run = Run("r", {"q2": {"a": 1.0}, "q3": {}, "q9": {"a": 1.0}})
    assert list(parse_metric("MRR").per_query(run, judged).items()) == [("q1", 0.0), ("q2", 1.0), ("q3", 0.0)]
    told = coverage(run, judged)
    assert told.counted == ("q1", "q2", "q3")
    assert told.without_results == ("q1", "q3")
    assert (told.nothing_relevant, told.unjudged, told.judged_returned) == (("q0",), ("q9",), 1)


def test_judgments_without_a_relevant_document_are_refused() -> None:
    with pytest.raises(InvalidInput, match="judgments of 2 queries, none with a relevant document"):
        parse_metric("MAP").per_query(Run("r", {}), {"q": {"a": 0}, "r": {"b": -1}})


@pytest.mark.parametrize(
    ("written", "metric"),
    [
        ("nDCG@10", Metric("nDCG", 10)),
        (" NDCG@10 ", Metric("nDCG", 10)),
        ("R@100", Metric("recall", 100)),
        ("Recall@10", Metric("recall", 10)),
        ("rr@10", Metric("MRR", 10)),
        ("AP", Metric("MAP")),
        ("p@5", Metric("precision", 5)),
        ("hit_rate@3", Metric("success", 3)),
    ],
)
def test_names_are_parsed_whatever_their_case(written: str, metric: Metric) -> None:
    assert parse_metric(written) == metric
    assert parse_metric(str(metric)) == metric


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("ndgc@10", "did you mean nDCG@10?"),
        ("recal@10", "did you mean recall@10?"),
        ("qqq", "nDCG@10 is a good first choice"),
        ("nDCG@0", "did you mean nDCG@10?"),
        ("nDCG@ten", "did you mean nDCG@10?"),
    ],
)
def test_a_metric_that_does_not_exist_lists_those_that_do(written: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_metric(written)
    assert str(error.value) == (
        f"there is no metric '{written}'\n"
        "Expected: one of nDCG@k, recall@k, MRR@k, MAP@k, precision@k, success@k, nDCG, MRR, MAP, "
        f"k being 1 or more\nHint: {hint}"
    )


def test_recall_needs_a_number_of_results() -> None:
    with pytest.raises(InvalidInput, match="the metric 'recall' without a number of results") as error:
        parse_metric("recall")
    assert error.value.expected == "a cutoff, such as recall@10"


def test_a_summary_has_a_mean_and_an_interval_for_each_metric() -> None:
    judged = {f"q{i}": {"a": 1} for i in range(60)}
    run = Run("r", {f"q{i}": {"a": 1.0, "b": 2.0} if i % 3 else {"a": 1.0} for i in range(60)})
    scores = summary(run, judged)
    assert [score.metric for score in scores] == list(DEFAULT_METRICS)
    mrr = next(score for score in scores if score.metric == "MRR@10")
    assert (mrr.mean, mrr.n) == (pytest.approx((20 + 40 / 2) / 60), 60)
    assert 0.58 < mrr.low < mrr.mean < mrr.high < 0.76
    assert summary(run, judged, ["MRR@10"]) == (mrr,)


def test_a_perfect_run_is_not_certain() -> None:
    """100 of 100: Clopper and Pearson's lower bound at one-sided 5% is 0.05 ** (1 / 100) = 0.9705."""
    judged = {f"q{i}": {"a": 1} for i in range(100)}
    run = Run("r", {query: {"a": 1.0} for query in judged})
    (score,) = summary(run, judged, ["success@1"])
    assert (score.mean, score.high) == (1.0, 1.0)
    assert score.low == pytest.approx(0.9705, abs=0.002)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(InvalidInput, match="not installed") as caught:
        per_query(Run("r", {"q": {"a": 1.0}}), {"q": {"a": 1}}, [parse_metric("MRR")])
    assert caught.value.hint == "pip install 'gnomon[eval]'"
