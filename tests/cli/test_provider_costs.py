"""What a provider's model costs, on the command line: said first, bounded, counted and shown."""

import json

import pytest

from gnomon.cli.main import run
from support.provider_server import KEY, provider_server

MODEL = "openai:text-embedding-3-small"


@pytest.fixture
def server(monkeypatch):
    with provider_server(dim=1536) as running:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", running.url("openai"))
        yield running


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code
    found = capsys.readouterr()
    return json.loads(found.out or found.err)


def test_a_cost_is_said_bounded_counted_and_shown(server, tmp_path, capsys):
    docs, kb = tmp_path / "docs", tmp_path / "kb"
    docs.mkdir()
    for number in range(12):
        (docs / f"{number}.txt").write_text(f"note {number} of a dozen")
    index = ("index", docs, "--into", kb, "--model", MODEL)
    plan = as_json(capsys, "plan", docs, "--to", MODEL)
    assert plan == as_json(capsys, *index, "--dry-run") | {"seconds": plan["seconds"]}
    assert server.requests == []
    assert plan["cost"] == pytest.approx(plan["tokens"] * 0.02e-6)
    refused = as_json(capsys, *index, "--max-cost", plan["cost"] / 2, code=3)
    assert refused["error"]["kind"] == "CostLimitReached"
    assert server.requests == []
    assert not kb.exists()
    report = as_json(capsys, *index, "--max-cost", plan["cost"])
    assert (report["embedded"], report["requests"]) == (12, 1)
    assert 0 < report["cost"] <= plan["cost"]
    assert run(["search", str(kb), "note 7"]) == 0
    spent = as_json(capsys, "status", kb)["spent"]
    assert sum(each["tokens"] for each in spent) == server.tokens
    assert run(["status", str(kb)]) == 0
    assert f"USD for query texts by {MODEL}" in capsys.readouterr().out
