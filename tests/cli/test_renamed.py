"""Old names of commands and options work, and say the new one on stderr."""

from __future__ import annotations

import pytest

from gnomon.cli.main import run
from gnomon.cli.renamed import with_new_names


def test_an_old_command_runs_as_the_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bridge", "--help"]) == 0
    said = capsys.readouterr()
    assert "Usage: gnomon adapter" in said.out
    assert said.err == "bridge is now adapter; the old name will be removed in 0.3\n"


def test_old_options_are_taken_for_the_new_ones(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["migrate", "kb", "--bridge", "--asked=log.txt", "--", "--asked"]
    assert with_new_names(given) == ["migrate", "kb", "--adapter", "--query-log=log.txt", "--", "--asked"]
    assert capsys.readouterr().err.splitlines() == [
        "--bridge is now --adapter; the old name will be removed in 0.3",
        "--asked is now --query-log; the old name will be removed in 0.3",
    ]


def test_other_command_lines_stay_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    for given in ([], ["search", "kb", "--asked", "bridge"], ["adapter", "kb", "--to", "m"]):
        assert with_new_names(given) == given
    assert not capsys.readouterr().err
