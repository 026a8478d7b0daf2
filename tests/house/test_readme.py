"""What the README tells works: its commands exist with their options, its Python runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> list[str]:
    lines = [line for _, block in BLOCKS for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if re.match(r"\s*(\.venv/bin/)?gnomon ", line)]


def test_there_are_commands_and_code() -> None:
    assert len(commands()) >= 5
    assert sum(kind == "python" for kind, _ in BLOCKS) >= 2


@pytest.mark.parametrize("command", commands())
def test_each_command_is_one(command: str) -> None:
    import typer

    from gnomon.cli.main import app

    group = typer.main.get_command(app)
    _, name, *rest = shlex.split(command)
    known = group.commands[name]  # type: ignore[attr-defined]
    if hasattr(known, "commands"):
        known = known.commands[rest[0]]
    options = {option for parameter in known.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= options


@pytest.mark.parametrize("target", re.findall(r"^(?:make) (\w+)", README.read_text(encoding="utf-8"), re.MULTILINE))
def test_each_make_target_is_one(target: str) -> None:
    makefile = (README.parent / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", README.read_text(encoding="utf-8")))
def test_each_link_leads_somewhere(link: str) -> None:
    assert link.startswith("http") or (README.parent / link).exists()


def test_the_python_runs(minilm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "sundial.md").write_text("# Sundials\n\nThe gnomon casts the shadow.\n")
    monkeypatch.chdir(tmp_path)
    code = "\n".join(block for kind, block in BLOCKS if kind == "python")
    names: dict[str, object] = {}
    exec(code, names)
    assert len(names["kb"].search("shadow")) >= 2  # type: ignore[attr-defined]
