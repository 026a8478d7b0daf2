"""gnomon export --to and gnomon import."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gnomon
from gnomon.cli.main import run
from support.judged_topics import write_topic_model, write_topics


@pytest.fixture
def kb(tmp_path: Path) -> Path:
    """A collection of the judged topics, whose model is a folder."""
    write_topics(tmp_path / "topics")
    with gnomon.open(
        tmp_path / "kb", settings=gnomon.CollectionSettings(model=str(write_topic_model(tmp_path / "model")))
    ) as kb:
        kb.index([tmp_path / "topics" / "corpus.jsonl"])
    return tmp_path / "kb"


def test_there_and_back(kb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(kb), "--to", str(tmp_path / "out.parquet"), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["documents"] == 16
    back = str(tmp_path / "back")
    assert run(["import", str(tmp_path / "out.parquet"), "--into", back, "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["is_checked"]
    assert not Path(back).exists()
    assert run(["import", str(tmp_path / "out.parquet"), "--into", back]) == 0
    assert "16 documents, 16 passages imported" in capsys.readouterr().out
    found = []
    for folder in (str(kb), back):
        assert run(["search", folder, "sundial", "--json"]) == 0
        found.append([(hit["document"], hit["score"]) for hit in json.loads(capsys.readouterr().out)["hits"]])
    assert found[0] == found[1]
    assert run(["import", str(tmp_path / "out.parquet"), "--into", back]) == 2
    assert "holds 16 documents" in capsys.readouterr().err


def test_options_that_do_not_go_together(kb: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["export", str(kb), "--chunks", "x.parquet", "--version", "v1"]) == 2
    assert run(["export", str(kb), "--to", "x.parquet", "--where", "a = 1"]) == 2
    assert run(["export", str(kb)]) == 2
    assert "0 files to export to" in capsys.readouterr().err
