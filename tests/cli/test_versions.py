"""The commands of versions: what there is, another one serves, back again, given up, cleared away."""

import json

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.testing.toys import HashEncoder
from gnomon.text.chunk import ChunkSettings


@pytest.fixture
def two(kb):
    """A collection with two versions: v1 live, v2 ready."""
    with gnomon.open(kb, encoder=HashEncoder(32)) as opened:
        opened.versions.add(HashEncoder(32, salt="two"), chunking=ChunkSettings(max_tokens=24))
        opened.versions.backfill("v2")
        opened.versions.mark_ready("v2")
    return kb


def as_json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert run([*map(str, arguments), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def error(capsys, *arguments, code=2):
    capsys.readouterr()
    assert run([*map(str, arguments)]) == code
    return " ".join(capsys.readouterr().err.split())


def test_versions_are_listed(two, capsys):
    assert run(["versions", str(two)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["version", "state", "model", "chunks", "and", "search"]
    assert first.split()[:3] == ["v1", "live", "hash-32"]
    assert "64 tokens, overlap 8; hybrid" in first
    assert "live since 20" in first
    assert second.split()[:3] == ["v2", "ready", "hash-32-two"]
    assert "24 tokens; hybrid" in second
    assert second.endswith("up to date")
    listed = as_json(capsys, "versions", two)
    assert [(info["name"], info["state"], info["behind"]) for info in listed["versions"]] == [
        ("v1", "live", 0),
        ("v2", "ready", 0),
    ]
    assert listed["pruned"] is None


def test_a_switch_and_the_way_back(two, capsys):
    assert run(["switch", str(two), "v2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("live  switched to v2 from v1 in ")
    assert out.endswith(f"next  gnomon rollback {two}\n")
    with gnomon.open(two, encoder=HashEncoder(32, salt="two")) as kb:
        assert kb.version.name == "v2"
    back = as_json(capsys, "rollback", two)
    assert (back["came_from"], back["to"], back["why"]) == ("v2", "v1", "rollback")
    assert back["seconds"] < 60
    assert "no former version to go back to" in error(capsys, "rollback", two)


def test_what_cannot_be_switched_to_is_refused_and_nothing_changes(two, capsys):
    assert "the collection has no version v7; its versions: v1, v2" in error(capsys, "switch", two, "v7")
    assert "v1 is live already" in error(capsys, "switch", two, "v1")
    with gnomon.open(two, encoder=HashEncoder(32)) as kb:
        kb.versions.add(HashEncoder(32, salt="three"))
    said = error(capsys, "switch", two, "v3")
    assert "v3 is 16 documents behind" in said
    assert "gnomon migrate" in said
    assert "no former version" in error(capsys, "rollback", two)
    states = [info["state"] for info in as_json(capsys, "versions", two)["versions"]]
    assert states == ["live", "ready", "building"]


def test_one_that_is_given_up_can_be_cleared_away(two, capsys):
    assert "v1 is live" in error(capsys, "versions", two, "--retire", "v1")
    done = as_json(capsys, "versions", two, "--retire", "v2", "--prune", "--vacuum")
    assert [info["state"] for info in done["versions"]] == ["live", "retired"]
    assert done["pruned"]["chunks"] == done["pruned"]["vectors"] == 16
    assert "v2 is retired" in error(capsys, "switch", two, "v2")
    assert run(["versions", str(two), "--prune"]) == 0
    out = capsys.readouterr().out
    assert "freed  0 chunks, 0 vectors; 0 bytes given back to the disk" in out
    assert "--vacuum without --prune" in error(capsys, "versions", two, "--vacuum")


def test_where_there_is_no_collection(tmp_path, capsys):
    for command in (["versions"], ["switch"], ["rollback"]):
        given = [*command, tmp_path / "none", *(["v2"] if command == ["switch"] else [])]
        assert f"no collection at {tmp_path / 'none'}" in error(capsys, *given)
