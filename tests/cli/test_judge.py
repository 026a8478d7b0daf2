"""gnomon judge: keys from a pipe, a terminal's screen, the report."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gnomon.cli import judge as command
from gnomon.cli.main import run
from gnomon.collection import CollectionSettings, open_collection
from support.endpoint_server import endpoint_server, says
from support.judged_topics import TOPICS, write_topic_model

Judge = Callable[..., tuple[int, str, str]]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Judge:
    monkeypatch.chdir(tmp_path)
    model = str(write_topic_model(tmp_path / "model"))
    with open_collection("kb", settings=CollectionSettings(model=model, chunk_tokens=40)) as kb:
        pairs = zip(TOPICS, [*TOPICS[1:], TOPICS[0]], strict=True)
        kb.add([{"id": f"d{n}", "title": a, "text": f"You see {a} {b} here."} for n, (a, b) in enumerate(pairs)])
    Path("queries.txt").write_text("".join(f"about the {topic}\n" for topic in TOPICS[:6]))

    def judge(*arguments: str, keys: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(keys))
        capsys.readouterr()
        code = run(["judge", "kb", "--annotator", "ann", *arguments])
        return (code, *capsys.readouterr())

    return judge


def test_keys_from_a_pipe_are_answers_and_are_kept(judge: Judge) -> None:
    code, out, _ = judge(
        "--queries", "queries.txt", "--candidate", "kb", "--candidate", "kb:lexical", keys="0\n0x su0q"
    )
    assert code == 0
    assert out.startswith("query    about the ")
    assert "0 not relevant   1 somewhat   2 relevant   s skip   u undo   q quit" in out
    assert "The key 'x' means nothing here." in out
    assert "kb:lexical against kb is undecided" in out
    code, out, _ = judge("--status", "--json")
    report = json.loads(out)
    assert {verdict["outcome"] for verdict in report["verdicts"]} == {"undecided"}
    assert (code, report["annotators"]) == (0, {"ann": report["judged"]})
    assert report["judged"] == 3  # 0, 0, and 0 in the place of what was skipped


def test_the_end_of_the_keys_is_the_end_and_judgments_are_written(judge: Judge, tmp_path: Path) -> None:
    code, out, _ = judge("--queries", "queries.txt", "--grades", "1", "--export", "judged", keys="ynyn")
    assert code == 0
    assert "n not relevant   y relevant" in out
    assert "written  judged" in out
    assert (tmp_path / "judged" / "qrels" / "judged.tsv").is_file()
    assert run(["eval", "queries", "kb", "--data", "judged"]) == 0


def test_control_c_keeps_what_was_answered(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = iter("1")

    def next_key() -> str:
        for key in keys:
            return key
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_key", next_key)
    code, out, _ = judge("--queries", "queries.txt")
    assert code == 130
    assert "judged  1 of" in out


def test_what_cannot_be_judged_is_refused(judge: Judge) -> None:
    code, _, err = judge()
    assert (code, "no queries to begin it with" in err, "gnomon judge" in err) == (2, True, True)
    Path("empty.txt").write_text("\n")
    assert judge("--queries", "empty.txt")[0] == 2
    code, _, err = judge("--queries", "queries.txt", "--candidate", "kb", "--candidate", "kb:hybrid")
    assert (code, "there is nothing to judge" in err) == (2, True)
    assert judge("--queries", "queries.txt", "--metric", "MAP")[0] == 2


def test_a_language_model_is_asked_and_what_came_of_it_is_said(judge: Judge) -> None:
    begin = ("--queries", "queries.txt", "--grades", "1", "--candidate", "kb", "--candidate", "kb:lexical")
    with endpoint_server(says("Grade: 0")) as server:
        model = ("--judge-url", server.url, "--judge-model", "toy", "--judge-price", "1")
        code, out, err = judge(*begin, *model, keys="nyq")
    assert code == 0
    assert re.search(r"toy graded \d+ passages; \d+ requests, about [\d,]+ tokens, about \$0\.0\d\.", err + out)
    assert "people alone ±" in out
    code, _, err = judge("--judge-model", "toy")
    assert code == 2
    assert "--judge-url URL" in err
