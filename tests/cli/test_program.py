"""What the next commands begin with works as it is typed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gnomon.cli.terminal import program


def test_by_name_where_the_shell_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin" / "gnomon"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == "gnomon"
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert program() == "bin/gnomon"
    monkeypatch.chdir("/")
    assert program() == str(script) or Path("/", program()) == script


def test_by_name_when_python_started_it_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert program() == "gnomon"
