"""gnomon adapt: a decline in one line, its exit code, and the same for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gnomon
from gnomon.adapt import Candidate, Estimate
from gnomon.adapt.settings import AdaptReport
from gnomon.cli.adapt import print_adapted
from gnomon.cli.main import run
from gnomon.cli.terminal import data_console
from support.judged_topics import write_topic_model, write_topics


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection of sixteen documents in the working folder, with its judgments."""
    monkeypatch.chdir(tmp_path)
    write_topics(Path("topics"))
    model = str(write_topic_model(Path("model")).resolve())
    with gnomon.open("kb", settings=gnomon.CollectionSettings(model=model)) as kb:
        kb.index(["topics/corpus.jsonl"])


@pytest.mark.usefixtures("small")
def test_a_decline_is_one_line_and_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["adapt", "kb", "--judgments", "topics"]) == 1
    assert capsys.readouterr().out.splitlines()[0].startswith("Declined: the collection has 16 documents")
    assert run(["adapt", "kb", "--judgments", "topics", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["outcome"], report["version"], report["commands"]) == ("declined", None, {})
    assert run(["adapt", "kb", "--judgments", "nowhere"]) == 2
    assert run(["adapt", "kb", "--judgments", "topics", "--dry-run", "--switch"]) == 2
    assert "--dry-run and --switch" in capsys.readouterr().err


def test_a_version_is_offered_with_the_commands_to_switch_and_to_go_back(capsys: pytest.CaptureFixture[str]) -> None:
    one = Estimate(Candidate("two spaces", "spaces"), 0.5, 0.03, (-0.01, 0.07), 0.2, 0.02, 0.97, 9, 3, is_shown=True)
    report = AdaptReport(
        "ready", "two spaces: better.", "my kb", "v1", "judged", 50, "nDCG@10", 0.47, (one,), one, version="v2",
        skipped={"query adapter": "no time"},
    )  # fmt: skip
    print_adapted(data_console(), report)
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "two spaces: better."
    assert "two spaces *" in out
    assert "gnomon switch 'my kb' v2" in out
    assert "gnomon rollback 'my kb'" in out
    assert "query adapter: no time" in out
