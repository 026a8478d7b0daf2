"""gnomon monitor: its exit codes, what it prints, and where else it sends it."""

import json

import pytest

from gnomon.cli import main
from gnomon.core.errors import InvalidInput
from gnomon.migrate.query_log import read_queries

TOPICS = "sundial whale teapot glacier violin lantern orchard compass".split()
OTHERS = "beetle harbour anvil meadow quarry saddle thimble walnut".split()


def write(path, words):
    texts = [f"about the {one} here {two}" for one in words for two in words]
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


@pytest.fixture
def monitored(tmp_path, model, judged, capsys):
    """A collection with a baseline, and the arguments of a run."""
    assert main.run(["index", str(judged / "corpus.jsonl"), "--into", str(tmp_path / "kb"), "--model", str(model)]) == 0
    usual = write(tmp_path / "usual.txt", TOPICS)
    arguments = ["monitor", str(tmp_path / "kb"), "--sample", "64"]
    assert main.run([*arguments, "--queries", str(usual)]) == 0
    assert "taken now" in capsys.readouterr().out
    return arguments


def test_a_healthy_run(monitored, tmp_path, capsys):
    log, html = tmp_path / "log.jsonl", tmp_path / "page.html"
    more = ["--queries", str(tmp_path / "usual.txt"), "--log", str(log), "--html", str(html)]
    assert main.run([*monitored, *more]) == 0
    out = capsys.readouterr().out
    assert "no alarm; not judged: documents, golden" in out  # 16 documents: too few, and said so
    assert json.loads(log.read_text())["healthy"] is True
    assert "<h1>No alarm</h1>" in html.read_text()


def test_an_alarm_is_exit_code_1_and_a_webhook_that_is_down_changes_nothing(monitored, tmp_path, capsys):
    other = write(tmp_path / "other.txt", OTHERS)
    assert main.run([*monitored, "--queries", str(other), "--webhook", "http://127.0.0.1:9/secret"]) == 1
    shown = capsys.readouterr()
    assert "queries changed" in shown.out
    assert "seen by queries" in shown.out
    assert "was not reached, tried twice" in shown.err
    assert "secret" not in shown.err


def test_json(monitored, tmp_path, capsys):
    other = write(tmp_path / "other.txt", OTHERS)
    assert main.run([*monitored, "--queries", str(other), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [alarm["cause"] for alarm in found["alarms"]] == ["queries changed"]
    assert any(word in found["checks"][3]["examples"][0] for word in OTHERS)


def test_wrong_input(monitored, tmp_path, capsys):
    assert main.run([*monitored, "--webhook", "ftp://host"]) == 2
    assert "no web address" in capsys.readouterr().err
    (tmp_path / "empty.txt").write_text("\n\n")
    assert main.run([*monitored, "--queries", str(tmp_path / "empty.txt")]) == 2
    assert "holds no query" in capsys.readouterr().err
    assert main.run([*monitored, "--sample", "3"]) == 2
    assert main.run(["monitor", str(tmp_path / "none")]) != 0


def test_queries_are_lines_or_json_lines(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_text('a plain one\n{"_id": "1", "text": "of BEIR"}\n{"query": "another"}\n"a string"\n"quoted" words\n')
    assert read_queries(path) == ("a plain one", "of BEIR", "another", "a string", '"quoted" words')
    path.write_text('{"id": 3}\n')
    with pytest.raises(InvalidInput, match="line 1"):
        read_queries(path)


def test_watch_is_the_old_name_of_monitor(monitored, tmp_path, capsys):
    assert main.run(["watch", *monitored[1:], "--queries", str(tmp_path / "usual.txt")]) == 0
    shown = capsys.readouterr()
    assert "no alarm" in shown.out
    assert f"is now: gnomon monitor {tmp_path / 'kb'}" in shown.err
