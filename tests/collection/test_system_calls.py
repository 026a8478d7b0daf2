"""Kills and refusing disks at single system calls: the benchmark, with a few of its trials."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTHING = {"refused": 0, "dead": 0, "lost": 0, "tracebacks": 0}


@pytest.mark.parametrize(
    "options",
    [
        ("--kills", "6", "--errors", "2", "--only", "add", "--only", "remove"),
        pytest.param(("--kills", "160", "--errors", "40"), marks=pytest.mark.slow),
    ],
    ids=["a few", "every operation"],
)
def test_nothing_is_lost_wherever_a_process_is_killed(tmp_path: Path, options: tuple[str, ...]) -> None:
    to = tmp_path / "kills.json"
    command = [sys.executable, "-m", "bench", "kills", *options, "--to", str(to)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode == 77:
        pytest.skip(run.stderr.strip())
    assert to.exists(), run.stderr
    figures = json.loads(to.read_text())
    examples = [example for each in figures["operations"].values() for example in each["examples"]]
    assert {name: figures[name] for name in NOTHING} == NOTHING, examples
    assert figures["killed"] > 0


@pytest.mark.parametrize("count", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_no_answer_of_damaged_files_is_silently_wrong(tmp_path: Path, count: int) -> None:
    to = tmp_path / "damage.json"
    command = [sys.executable, "-m", "bench", "damage", "--count", str(count), "--to", str(to)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert to.exists(), run.stderr
    figures = json.loads(to.read_text())
    assert figures["examples"] == []
    assert figures["right"] > 0
