"""Several models from the command line: index, status, plan, migrate."""

import json

from gnomon.cli.main import run


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_two_models_from_the_first_run_on(judged, model, other, tmp_path, capsys):
    into = tmp_path / "kb"
    given = ["index", judged / "corpus.jsonl", "--into", into, "--model", model, "--model", other]
    as_json(capsys, *given)
    as_json(capsys, *given)  # the same command again brings it up to date
    found = as_json(capsys, "search", into, "about the teapot")
    assert set(found["hits"][0]["stages"]) == {"dense", "lexical", "dense:other-model"}
    (space,) = as_json(capsys, "status", into)["spaces"]
    assert (space["place"], space["vectors"]) == ("beside", 16)
    assert run(["status", str(into)]) == 0
    assert "dense:other-model" in capsys.readouterr().out
    as_json(capsys, "migrate", into, "--remove-model", other, "--without-proof", "--foreground")
    assert as_json(capsys, "status", into)["spaces"] == []


def test_a_second_stage_is_added(judged, model, other, tmp_path, capsys):
    into = tmp_path / "kb"
    as_json(capsys, "index", judged / "corpus.jsonl", "--into", into, "--model", model)
    planned = as_json(capsys, "plan", into, "--add-model", other)
    assert planned["spaces"][0]["texts"] == 16
    assert run(["plan", str(into), "--add-model", str(other)]) == 0
    assert "in 16 passages" in capsys.readouterr().out
    given = ["migrate", into, "--add-model", other, "--second-stage", "--queries", judged, "--margin", "0.3"]
    done = as_json(capsys, *given, "--foreground")
    assert done["outcome"] == "switched", done["why"]
    (space,) = as_json(capsys, "status", into)["spaces"]
    assert space["place"] == "second-stage"
    assert space["vectors"] > 0, "the gate's searches made them"


def test_what_is_refused(judged, model, other, tmp_path, capsys):
    given = ["index", str(judged / "corpus.jsonl"), "--into", str(tmp_path / "kb"), "--model", str(model)]
    assert run([*given, "--second-stage"]) == 2
    assert "--second-stage without a further model" in capsys.readouterr().err
    assert run([*given, "--model", str(model)]) == 2
    assert "twice" in capsys.readouterr().err
    assert run([*given, "--model", str(other), "--dry-run"]) == 0
    assert not (tmp_path / "kb").exists()
    assert run(given) == 0
    assert run([*given, "--model", str(other)]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert f"gnomon migrate KB --add-model {other}" in error.replace("- ", "-")
