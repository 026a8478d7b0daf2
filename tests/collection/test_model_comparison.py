"""Models tried on judged queries: the better one is chosen, ties go to the faster, what fails stays in its row."""

import json

import numpy as np
import pytest

from gnomon.collection.evaluation_corpus import limited
from gnomon.collection.model_comparison import ModelComparison, Trial, TrialSettings, compare_models, judged_trials
from gnomon.collection.model_report import comparison_page
from gnomon.collection.systems import SystemRun
from gnomon.core.errors import InvalidInput
from gnomon.evaluate import Run, load_dataset, summary
from support.judged_topics import TOPICS, write_topic_model, write_topics
from support.provider_server import KEY, provider_server


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    return load_dataset(write_topics(tmp_path / "topics"))


@pytest.fixture
def models(tmp_path):
    """One that knows every topic, and one that knows a quarter of them."""
    return [str(write_topic_model(tmp_path / name, TOPICS[:n])) for name, n in (("knows-all", 16), ("knows-few", 4))]


def test_the_better_model_is_taken_and_one_that_fails_stays_in_its_row(dataset, models):
    found = compare_models([models[1], "no-such-model", models[0]], dataset)
    assert found.best == found.chosen == models[0]
    assert [trial.scores[0].mean if trial.scores else None for trial in found.trials][2] == 1.0
    assert "no model is called 'no-such-model'" in found.trials[1].error
    (verdict,) = found.verdicts
    assert (verdict.baseline, verdict.candidate, verdict.outcome) == (models[0], models[1], "worse")
    assert found.explain().startswith("Take knows-all: nDCG@10 1.000, ")
    assert "Worse than knows-all: knows-few (-0." in found.explain()
    assert found.explain().endswith("Not tried: no-such-model.")
    body = json.loads(json.dumps(found.to_json()))
    assert [row["model"] for row in body["models"]] == [models[1], "no-such-model", models[0]]
    assert body["models"][2]["bytes_per_vector"] == 2 * body["models"][2]["dim"]
    assert found.trials[0].indexing.texts == 16
    assert found.trials[0].indexing.complete
    again = compare_models(models, dataset)  # nothing is indexed again
    assert [trial.indexing for trial in again.trials] == [found.trials[2].indexing, found.trials[0].indexing]
    page = comparison_page(found)
    assert "Take knows-all" in page
    assert "no model is called &#39;no-such-model&#39;" in page


def tried(name, relevant, ms, *, missed=0):
    """A trial that found every query's document but for the first few."""
    results = {q: {"wrong" if n < missed else d: 1.0 for d in grades} for n, (q, grades) in enumerate(relevant.items())}
    run = Run(name, results)
    scores = summary(run, relevant, ["nDCG@10"])
    return Trial(name, usd=0.0, ms_per_query=ms, scores=scores, searched=SystemRun(run, relevant))


@pytest.mark.parametrize(("missed", "chosen", "undecided"), [(1, "fast", False), (4, "slow", True)])
def test_a_faster_model_is_taken_only_if_it_is_shown_not_to_be_worse(dataset, missed, chosen, undecided):
    relevant = {f"q{n}": {f"d{n}": 1} for n in range(200)}
    trials = tried("slow", relevant, 9.0), tried("fast", relevant, 3.0, missed=missed)
    found = judged_trials(ModelComparison(dataset, TrialSettings(metrics=("nDCG@10",), margin=0.04), trials))
    assert (found.best, found.chosen, found.front) == ("slow", chosen, ("slow", "fast"))
    assert ("It is not worse than slow (1.000) by 0.04 or more and 3.0 times as fast." in found.explain()) != undecided
    assert ("These queries do not decide between slow and fast (-0.020, about " in found.explain()) == undecided


def test_a_limited_data_set_keeps_the_judged_documents_and_is_the_same_each_time(dataset):
    few = limited(dataset, 10)
    assert len(few.documents) == 10
    assert len(few.queries) == 5
    assert all(few.relevant[query].keys() <= few.documents for query in few.queries)
    assert limited(dataset, 10) == few
    assert limited(dataset, 16) is dataset


def test_a_providers_cost_is_said_first_and_counted(dataset, models, monkeypatch):
    with provider_server(dim=1536) as server:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url("openai"))
        names, messages = ["openai:text-embedding-3-small", models[0]], []
        few = TrialSettings(metrics=("MRR",), max_cost=1e-9)
        refused = compare_models(names, dataset, settings=few, progress=lambda event: messages.append(event.message))
        assert "0.0000 USD are allowed, nothing was sent" in refused.trials[0].error
        assert refused.chosen == models[0]
        assert any("openai:text-embedding-3-small: embedding about " in message for message in messages)
        assert not server.requests
        paid = compare_models(names, dataset, settings=TrialSettings(metrics=("MRR",)))
        assert paid.trials[0].usd == pytest.approx(0.02 * paid.trials[0].indexing.tokens / 1e6)
        assert paid.trials[0].usd > 0
        assert paid.trials[1].usd == 0.0


def test_what_cannot_be_compared_is_refused(dataset, models):
    with pytest.raises(InvalidInput, match="two or more different models"):
        compare_models([models[0], models[0]], dataset)
    with pytest.raises(InvalidInput, match="keyword search uses no model"):
        TrialSettings(mode="lexical")
    with pytest.raises(InvalidInput, match="as far as it looks"):
        TrialSettings(metrics=("recall@500",))


def test_pareto_front_has_no_beaten_point():
    from gnomon.kernels.statistics import pareto_front

    rng = np.random.default_rng(0)
    cost, quality = rng.random(40), rng.random(40)
    front = pareto_front(cost, quality)
    for at in range(40):
        beaten = ((cost <= cost[at]) & (quality >= quality[at]) & ((cost < cost[at]) | (quality > quality[at]))).any()
        assert front[at] != beaten
