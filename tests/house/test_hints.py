"""Advice can be followed: every gnomon command that a hint names exists, with the options it is given."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from gnomon.cli.main import app

SOURCES = Path(__file__).parents[2] / "src" / "gnomon"
COMMAND = re.compile(r"\bgnomon ((?:[a-z][a-z-]+)(?: [a-z][a-z-]+)?)([^`;.,:\n]*)")
PROSE = {"process", "or", "that", "runs"}  # words after the name where it is not a command
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def text_of(node: ast.expr) -> str:
    """The text of a hint, X where a value is put in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "X" for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    if isinstance(node, ast.IfExp):
        return f"{text_of(node.body)}; {text_of(node.orelse)}"
    return ""


def hints() -> Iterator[tuple[str, str]]:
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                for found in COMMAND.finditer(text_of(node.value)):
                    if found.group(1).split()[0] in PROSE:
                        continue
                    yield f"{path.relative_to(SOURCES)}:{node.value.lineno}", found.group(0)


def options_of(words: list[str]) -> set[str] | None:
    """The options of a command; None where there is no such command."""
    command = typer.main.get_command(app)
    for word in words:
        commands = getattr(command, "commands", None)
        if commands is None:
            break
        if word not in commands:
            return None
        command = commands[word]
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}


def test_every_command_of_a_hint_exists_with_its_options() -> None:
    wrong = []
    found = list(hints())
    for where, said in found:
        match = COMMAND.match(said)
        assert match is not None
        words = match.group(1).split()
        options = options_of(words)
        if options is None:
            wrong.append(f"{where}: {said}: no such command")
        elif unknown := set(OPTION.findall(said)) - options:
            wrong.append(f"{where}: {said}: no {', '.join(sorted(unknown))}")
    assert len(found) > 30
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("said", ["gnomon nothing", "gnomon eval nothing"])
def test_a_command_that_is_none_is_seen(said: str) -> None:
    assert options_of(said.split()[1:]) is None


PLACES = {"address", "collection", "folder", "into", "place"}  # what holds a path or an address as it is
BEFORE = re.compile(r"(?:gnomon|^) ([a-z-]+)( [a-z]+)?( [A-Z]+)?( --[a-z]+)? $")


def unquoted(tree: ast.AST) -> Iterator[int]:
    """The lines of texts with a command that names a collection as it is: a shell would take its ? and & apart."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            for before, value in pairwise(node.values):
                named = getattr(value, "value", None)
                command = BEFORE.search(text_of(before))
                if (
                    command
                    and options_of([command[1]]) is not None
                    and isinstance(named, ast.Name | ast.Attribute)
                    and (named.id if isinstance(named, ast.Name) else named.attr) in PLACES
                ):
                    yield node.lineno


def test_collections_in_commands_are_quoted_for_the_shell() -> None:
    files = sorted(SOURCES.rglob("*.py"))
    found = [f"{path}:{line}" for path in files for line in unquoted(ast.parse(path.read_text(encoding="utf-8")))]
    assert not found, "\n".join(found)
    assert list(unquoted(ast.parse("f'make one: gnomon index PATH --into {folder}'"))) == [1]
    assert list(unquoted(ast.parse("f'{program()} search {into} X'"))) == [1]
