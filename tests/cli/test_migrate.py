"""gnomon plan and gnomon migrate, from the model that is there to another one and back."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gnomon.cli.main import run
from gnomon.cli.migrate import migrate  # noqa: F401 - hung on the app
from gnomon.cli.rendering.migration import MigrationProgress, describe_stage, print_migration, progress_event
from gnomon.cli.terminal import data_console
from gnomon.core.progress import Progress
from gnomon.migrate import Migration

SCRIPT = "import sys; from gnomon.cli.main import run; sys.exit(run(sys.argv[1:]))"


@pytest.fixture
def indexed(judged, model, tmp_path, capsys):
    """A collection of the judged corpus with the static model of the tests."""
    given = ["index", str(judged / "corpus.jsonl"), "--into", str(tmp_path / "col"), "--model", str(model)]
    assert run(given) == 0
    capsys.readouterr()
    return tmp_path / "col"


@pytest.fixture
def deaf(model, tmp_path):
    """One that hears nothing: all words are the same."""
    folder = tmp_path / "deaf-model"
    shutil.copytree(model, folder)
    vectors = load_file(model / "model.safetensors")["embeddings"]
    save_file({"embeddings": np.ones_like(vectors)}, folder / "model.safetensors")
    return folder


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def error(capsys, *arguments, code=2):
    capsys.readouterr()
    assert run([*map(str, arguments)]) == code
    return " ".join(capsys.readouterr().err.split())


def test_a_plan(indexed, other, capsys):
    assert run(["plan", str(indexed), "--to", str(other), "--price", "0.1"]) == 0
    out = capsys.readouterr().out
    labels = [line.split("  ")[0] for line in out.splitlines() if line[:1].strip()]
    assert labels == ["from", "to", "passages", "to embed", "cost", "time", "on disk", "free", "next"]
    assert "16 of 16 documents, kept as they are" in out
    assert f"gnomon migrate {indexed} --to {other} --queries JUDGMENTS" in out
    assert f"gnomon versions {indexed} --retire v1 --prune --vacuum" in out
    plan = as_json(capsys, "plan", indexed, "--to", other, "--chunk-tokens", 12)
    assert (plan["keeps_chunks"], plan["texts"], plan["cost"]) == (False, 16, None)
    assert plan["tokens"] > 16


def test_a_plan_refuses_what_cannot_be(indexed, model, other, capsys, monkeypatch):
    assert "nothing to do" in error(capsys, "plan", indexed, "--to", model)
    assert "the search setting 'wieghts'" in error(capsys, "plan", indexed, "--set", "wieghts=1")
    assert "expected NAME=VALUE" in error(capsys, "plan", indexed, "--set", "mode")
    assert "--set mode twice" in error(capsys, "plan", indexed, "--set", "mode=dense", "--set", "mode=dense")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    assert run(["plan", str(indexed), "--to", str(other)]) == 3
    assert "too little: 1.0 MB" in capsys.readouterr().out


def test_a_migration_and_the_way_back(indexed, judged, other, capsys):
    given = ["migrate", str(indexed), "--to", str(other), "--queries", str(judged), "--margin", "0.3"]
    assert run([*given, "--foreground"]) == 0
    caught = capsys.readouterr()
    assert caught.out.startswith("gate  v2 is not worse than v1 by 0.3 or more: nDCG@10 1.0000 against 1.0000")
    assert "search, median" in caught.out
    assert "outcome   switched" in caught.out
    assert f"report    {indexed / 'reports' / 'v2' / 'gate.html'}" in caught.out
    assert f"next  gnomon rollback {indexed} goes back" in caught.out
    assert "checking what it takes" in caught.err
    assert as_json(capsys, "versions", indexed)["versions"][1]["state"] == "live"
    assert as_json(capsys, "rollback", indexed)["to"] == "v1"
    found = as_json(capsys, "migrate", indexed, "--status")
    assert (found["outcome"], found["version"], found["running"]) == ("switched", "v2", False)
    assert run(["migrate", str(indexed), "--status"]) == 0
    assert "outcome   switched" in capsys.readouterr().out


def test_one_that_falls_short_exits_with_1(indexed, judged, deaf, capsys):
    given = ["migrate", indexed, "--to", deaf, "--queries", judged, "--set", "mode=dense", "--foreground"]
    done = as_json(capsys, *given, code=1)
    assert (done["outcome"], done["gate"]["outcome"]) == ("refused", "worse"), done["why"]
    assert done["gate"]["verdict"]["n"] == 16
    assert [info["state"] for info in as_json(capsys, "versions", indexed)["versions"]] == ["live", "ready"]
    done = as_json(capsys, *given[:-1], "--switch-if", "never", "--foreground")
    assert done["outcome"] == "ready"
    assert as_json(capsys, "switch", indexed, "v2")["to"] == "v2"  # a person may take it all the same


def test_without_queries(indexed, other, capsys):
    given = ["migrate", str(indexed), "--to", str(other), "--foreground"]
    assert run(given) == 1
    caught = capsys.readouterr()
    assert "without --queries the version is built and checked for breakage" in caught.err
    assert "Without judged queries it is unknown whether v2 is as good as v1" in caught.out
    assert re.search("outcome +refused", caught.out)
    assert run([*given, "--without-proof"]) == 0
    assert re.search("outcome +switched", capsys.readouterr().out)


def test_what_cannot_be_is_said_at_once(indexed, judged, other, model, tmp_path, capsys):
    assert "nothing that is to change" in error(capsys, "migrate", indexed)
    given = ["migrate", indexed, "--to", other]
    assert "--without-proof with --queries" in error(capsys, *given, "--queries", judged, "--without-proof")
    assert "above 0, at most 1" in error(capsys, *given, "--cpu-share", "2")
    assert "--status and --stop" in error(capsys, "migrate", indexed, "--status", "--stop")
    assert "--to with --status" in error(capsys, *given, "--status")
    assert "no migration of" in error(capsys, "migrate", indexed, "--stop")
    few = tmp_path / "few.jsonl"
    few.write_text('{"query": "about the whale", "relevant": ["d1"]}\n')
    assert "too few for a gate" in error(capsys, *given, "--queries", few)  # of the process that builds
    assert "nothing to do" in error(capsys, "migrate", indexed, "--to", model, "--foreground")
    assert len(as_json(capsys, "versions", indexed)["versions"]) == 1
    missing = ["migrate", tmp_path / "none", "--to", other]
    assert "no collection at" in error(capsys, *missing)
    assert "no collection at" in error(capsys, *missing[:2], "--status")


def test_no_migration_yet(indexed, capsys):
    assert run(["migrate", str(indexed), "--status"]) == 0
    assert capsys.readouterr().out == f"No migration of {indexed} was begun.\n"
    assert as_json(capsys, "migrate", indexed, "--status") is None


def test_ctrl_c_leaves_the_build_at_work(indexed, judged, other, capsys):
    given = ["migrate", str(indexed), "--to", str(other), "--queries", str(judged), "--margin", "0.3"]
    command = [sys.executable, "-c", SCRIPT, *given, "--cpu-share", "0.001"]
    follower = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    for line in follower.stderr:
        if "building" in line:
            break
    follower.send_signal(signal.SIGINT)
    out, err = follower.communicate(timeout=60)
    assert follower.returncode == 130
    assert "The build goes on in process" in err
    assert out == ""
    found = as_json(capsys, "migrate", indexed, "--status")
    assert (found["running"], found["version"]) == (True, "v2")
    assert f"is running: v2 with {other.name}" in error(capsys, *given, code=3)
    stopped = as_json(capsys, "migrate", indexed, "--stop")
    assert (stopped["outcome"], stopped["running"]) == ("stopped", False)
    assert run([*given, "--foreground"]) == 0


def test_how_it_stands_in_words(capsys):
    at = Migration("kb", version="v2", stage="building", tokens=1000, tokens_done=250, seconds=5.0, running=True)
    assert progress_event(at) == Progress("v2 building", 250, 1000, "token")
    assert describe_stage(at) == "v2 building  250/1,000 tokens  50/s  15.0 s left"
    judging = Migration("kb", version="v2", stage="judging", queries_done=3, queries=40)
    assert describe_stage(judging) == "v2 judging  3/40 queries"
    print_migration(data_console(), at)
    out = capsys.readouterr().out
    assert "stage    v2 building  250/1,000 tokens" in out
    assert "next  gnomon migrate kb --status shows it, --stop ends it" in out
    with MigrationProgress(data_console()) as bar:
        bar.show(at)
        bar.show(at)
    assert capsys.readouterr().out == "v2 building: 250/1,000 tokens\n"


def test_a_plan_of_another_size(indexed, capsys):
    plan = as_json(capsys, "plan", indexed, "--documents", "1M", "--store", "qdrant")
    assert (plan["documents"], [each["engine"] for each in plan["engines"]]) == (10**6, ["qdrant"])
    assert plan["tokens"] > plan["chunks"] >= 10**6
    assert run(["plan", str(indexed), "--documents", "1M"]) == 0
    assert "pgvector" in capsys.readouterr().out
    assert "another size" in error(capsys, "plan", indexed, "--documents", "1M", "--to", "other")
    assert "--documents" in error(capsys, "plan", indexed, "--store", "qdrant")
