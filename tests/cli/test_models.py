"""gnomon models: the table, its filters, one model in full, measurements, and trials."""

import json
from importlib.metadata import EntryPoint

import pytest

from gnomon.cli.main import run
from gnomon.encode.cards import all_cards
from gnomon.encode.speed import Speed, cpu_name, remember, speed_of
from support.judged_topics import TOPICS, write_topic_model
from support.plugins import installed_plugins


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GNOMON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "100")


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run(["models", *map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def shown(capsys, *arguments):
    capsys.readouterr()
    assert run(["models", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def refused(capsys, *arguments):
    capsys.readouterr()
    assert run(["models", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_every_card_is_listed_within_a_hundred_columns(capsys):
    remember(Speed("all-MiniLM-L6-v2", "f", cpu_name(), "auto", 12.0, 123456.0, 1.5, "2026-01-01T00:00:00+00:00"))
    table = shown(capsys)
    assert all(card.name[:28] in table for card in all_cards())
    assert max(map(len, table.splitlines())) <= 100
    assert "123,456" in table
    listed = as_json(capsys)
    assert [row["name"] for row in listed] == [card.name for card in all_cards()]
    assert {"hub_id", "prompts", "price", "scores", "runtime", "here", "key", "speed", "source"} <= set(listed[0])
    assert listed[0]["speed"]["tokens_per_second"] == 123456.0


@pytest.mark.parametrize(
    ("options", "there", "missing"),
    [
        (["--language", "de"], "bge-m3", "bge-small-en-v1.5"),
        (["--max-parameters", "25"], "all-MiniLM-L6-v2", "bge-small-en-v1.5"),
        (["--licence", "mit"], "bge-small-en-v1.5", "all-MiniLM-L6-v2"),
        (["--kind", "reranker"], "bge-reranker-v2-m3", "bge-m3"),
        (["--kind", "provider"], "openai:text-embedding-3-small", "voyage:rerank-2.5"),
        (["--runs-here"], "Qwen3-Embedding-0.6B", "nomic-embed-text-v2-moe"),
    ],
)
def test_conditions_leave_models_out(capsys, options, there, missing):
    names = [row["name"] for row in as_json(capsys, *options)]
    assert there in names
    assert missing not in names


def test_an_order(capsys):
    best = as_json(capsys, "--sort", "score", "--kind", "embedding")
    scores = [row["scores"][0]["value"] for row in best if row["scores"]]
    assert scores == sorted(scores, reverse=True)
    cheapest = as_json(capsys, "--kind", "provider", "--sort", "price")
    prices = [row["price"]["usd_per_million_tokens"] for row in cheapest if row["price"]]
    assert prices == sorted(prices)


def test_a_providers_key_is_told_but_not_shown(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.delenv("VOYAGE_API_KEY", raising=False)
    page = shown(capsys, "openai:text-embedding-3-small")
    assert "at its provider; OPENAI_API_KEY is set" in page
    assert "sk-secret" not in page
    assert "0.02 USD a million tokens (https://" in page
    assert "VOYAGE_API_KEY is not set" in shown(capsys, "voyage:voyage-4")


def test_one_in_full(capsys):
    page = shown(capsys, "BAAI/bge-small-en-v1.5")
    assert 'query: "Represent this sentence for searching relevant passages: "' in page
    assert "MTEB(eng, v1) retrieval 51.68 (https://github.com/Snowflake-Labs/arctic-embed, 2024-04-16)" in page
    assert "without torch, from its weights; fetched when first used" in page
    assert page.endswith("next  gnomon index docs/ --into kb --model bge-small-en-v1.5\n")
    assert "gnomon has no recipe for its family" in shown(capsys, "nomic-embed-text-v2-moe")


def test_unknown_names_and_idle_options_are_refused(capsys):
    assert "did you mean bge-small-en-v1.5" in refused(capsys, "bge-smal-en-v1.5")
    assert "--sort but in a list of models" in refused(capsys, "bge-m3", "--sort", "size")
    assert "--limit without --try" in refused(capsys, "--limit", "100")
    assert "none of the" in refused(capsys, "--language", "xx", "--licence", "none")


def test_encoders_of_installed_packages_are_listed(capsys):
    with installed_plugins(EntryPoint("acme", "no_such_module:load", "gnomon.encoders")):
        assert "from installed packages: acme:MODEL" in shown(capsys)
        assert as_json(capsys)[-1] == {"name": "acme:", "kind": "plug-in"}


def test_a_model_is_measured_and_remembered(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("gnomon.encode.speed._MIN_S", 0.0)
    folder = write_topic_model(tmp_path / "words-model")
    body = as_json(capsys, "--measure", folder, "no-such-model")
    (speed,) = body["measured"]
    assert speed["tokens_per_second"] > speed["texts_per_second"] > 0
    assert speed["query_ms"] > 0
    assert "no model is called 'no-such-model'" in body["failed"][0]["error"]
    assert speed_of(str(folder)) == Speed(**speed)
    assert "no model with a card is on this machine" in refused(capsys, "--measure")


def test_models_are_tried_on_judged_queries(capsys, judged, tmp_path):
    good, poor = write_topic_model(tmp_path / "good"), write_topic_model(tmp_path / "poor", TOPICS[:4])
    plot, page = tmp_path / "models.png", tmp_path / "models.html"
    out = shown(capsys, "--try", good, poor, "--data", judged, "--plot", plot, "--report", page)
    assert "corpus of 16" in out
    assert "Take good: nDCG@10 1.000" in out
    assert f"written  {page}" in out
    assert plot.stat().st_size > 0
    assert "Take good" in page.read_text()
    assert "two or more different models" in refused(capsys, "--try", good, "--data", judged)
    assert as_json(capsys, "--try", "nothing-1", "nothing-2", "--data", judged, code=1)["chosen"] == ""
