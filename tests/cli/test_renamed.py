"""Old spellings of commands work, and name the new one on stderr."""

from __future__ import annotations

import shlex

import pytest

from gnomon.cli.main import run
from gnomon.cli.renamed import with_new_names

REWRITTEN = [
    ("eval kb --data DIR", "eval queries kb --data DIR"),
    ("eval --data DIR --json kb:dense", "eval queries --data DIR --json kb:dense"),
    ("eval kb --answers qa.jsonl --limit 3", "eval answers kb --data qa.jsonl --limit 3"),
    ("eval kb --answers=qa.jsonl", "eval answers kb --data=qa.jsonl"),
    ("eval kb --pseudo --expect sound.json", "eval pseudo kb --expect sound.json"),
    ("eval tiny --task sts --data sts.tsv", "eval task tiny --data sts.tsv sts"),
    ("eval tiny --task=pairs --data p.jsonl --fit t", "eval task tiny --data p.jsonl --fit t pairs"),
    ("tables kb", "tables list kb"),
    ("tables --json kb", "tables list --json kb"),
    ("tables kb add shop.db --table customers --name people", "tables add kb shop.db --table customers --name people"),
    ("tables --name people kb add shop.db", "tables add --name people kb shop.db"),
    ("tables kb remove orders", "tables remove kb orders"),
    ("words vectors nearest king -k 3", "words neighbours vectors king -k 3"),
    ("words -k 3 kb analogy man king woman", "words analogy -k 3 kb man king woman"),
    ("words glove.txt save vectors --format word2vec", "words convert glove.txt vectors --format word2vec"),
    ("bridge kb --to tiny", "adapter kb --to tiny"),
    ("migrate kb --to tiny --bridge --asked=log.txt", "migrate kb --to tiny --adapter --query-log=log.txt"),
]
CURRENT = [
    "eval queries kb --data DIR",
    "eval task tiny sts --data FILE",
    "eval --help",
    "eval",
    "tables list kb",
    "tables -h",
    "words train docs --into vectors",
    "words neighbours vectors nearest",
    "search kb nearest -- --bridge",
    "migrate kb -- --bridge",
    "",
]


@pytest.mark.parametrize(("old", "new"), REWRITTEN)
def test_an_old_spelling_is_the_new_command_with_a_line_that_says_so(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert with_new_names(shlex.split(old)) == shlex.split(new)
    assert capsys.readouterr().err == f"gnomon {old} is now: gnomon {new}; the old spelling will be removed in 0.3\n"


@pytest.mark.parametrize("line", CURRENT)
def test_the_current_spelling_stays_as_it_is(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_new_names(shlex.split(line)) == shlex.split(line)
    assert capsys.readouterr().err == ""


def test_an_unknown_action_is_an_error_of_the_new_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tables", "kb", "drop", "orders"]) == 2
    assert "No such command 'kb'" in capsys.readouterr().err


def test_an_old_command_line_runs(kb, judged, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert run(["eval", f"{kb}:lexical", "--data", str(judged), "--metric", "MRR", "--json"]) == 0
    out, err = capsys.readouterr()
    assert '"mean": 1.0' in out
    assert f"is now: gnomon eval queries {kb}:lexical" in err
    assert run(["tables", str(kb)]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("No tables.")
    assert f"gnomon tables {kb} is now: gnomon tables list {kb};" in err


def test_a_misspelled_sub_command_is_not_taken_for_an_old_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "query", "kb", "--data", "judged"]) == 2
    err = capsys.readouterr().err
    assert "is now" not in err
    assert "Did you mean 'queries'?" in err
