"""Whatever it is given, a command ends with an exit code, and a function with a GnomonError, ValueError or TypeError.

Arguments are drawn from values of the right type and odd content: broken files, odd numbers, names of nothing.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import gnomon.cli.main
from gnomon.cli.app import app
from support.odd_inputs import TEXTS, make_world

SKIPPED = {"demo"}  # takes no input but the network and the package's own pages
NUMBERS = ["-1", "0", "1", "3", "0.5", "nan", "inf", "1e400", "99999999999999999999", "x", ""]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a collection of it and broken files; every trial works in a copy."""
    return make_world(tmp_path_factory.mktemp("world"))


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        elif name not in SKIPPED:
            yield (*path, name), command


def value(parameter: Any, names: list[str], draw: random.Random) -> str:
    """A value for an option or an argument."""
    kind = str(parameter.type_descriptor.annotation)
    if "int" in kind or "float" in kind:
        return draw.choice(NUMBERS)
    if "Path" in kind or parameter.name in ("model", "to", "data"):
        return draw.choice(["kb", "kb", "model", *names, "missing"])
    return draw.choice([*TEXTS, *names[:4]])


def arguments(path: tuple[str, ...], command: Any, names: list[str], draw: random.Random) -> list[str]:
    """A command line: each argument, and some of the options."""
    line = list(path)
    for parameter in command.params:
        if not hasattr(parameter, "is_flag"):
            line += [value(parameter, names, draw) for _ in range(draw.choice([1, 1, 2]) if parameter.nargs < 0 else 1)]
        elif parameter.name not in ("help", "version", "webhook") and draw.random() < 0.25:
            line.append(parameter.opts[0])
            if not parameter.is_flag:
                line.append(value(parameter, names, draw))
    return line


COMMANDS = sorted(commands(), key=lambda pair: pair[0])


def try_command(which: int, trials: int, world: Path, place: Path) -> None:
    path, command = COMMANDS[which]
    draw = random.Random(which)
    names = sorted(each.name for each in world.iterdir())
    for trial in range(trials):
        shutil.copytree(world, place / str(trial))
        line = arguments(path, command, names, draw)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place / str(trial))
            patch.setattr(sys, "stdin", io.StringIO("n1\n"))
            try:
                code = gnomon.cli.main.run(line)
            except BaseException as error:
                pytest.fail(f"gnomon {line} raised {type(error).__name__}: {error}\n{''.join(traceback.format_exc())}")
        assert isinstance(code, int), line
        shutil.rmtree(place / str(trial))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", range(len(COMMANDS)), ids=[" ".join(path) for path, _ in COMMANDS])
def test_a_command_ends_with_an_exit_code(which: int, world: Path, tmp_path: Path) -> None:
    try_command(which, 2, world, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", range(len(COMMANDS)), ids=[" ".join(path) for path, _ in COMMANDS])
def test_a_command_ends_with_an_exit_code_of_many_lines(which: int, world: Path, tmp_path: Path) -> None:
    try_command(which, 20, world, tmp_path)
