"""The budgets of the house: lengths, parameters, names, and texts that must not be committed.

Usage: python tools/budgets.py [ROOT]. Prints one line a finding and exits 1 when there is any.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("src", "tests", "tools", "bench", "docs", ".ci")
SUFFIXES = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".html", ".js", ".css", ""}
FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES, PARAMETERS = 300, 500, 50, 6
# Written in pieces, so that this file passes its own gate.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~/<-])/(?:work|root|tmp|home/\w+|Users/\w+)\b(?:/[\w.-]+)*")
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "misc", "manager"}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files(root: Path) -> Iterator[Path]:
    """The text files that are the project's own: top level and FOLDERS, caches left out."""
    found = [path for path in root.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (root / folder).rglob("*") if path.is_file()]
    for path in sorted(found):
        if path.suffix in SUFFIXES and not any("__pycache__" in part or ".egg" in part for part in path.parts):
            yield path


def text_findings(text: str) -> Iterator[tuple[int, str]]:
    """Lines with unfinished work or with a path of one machine."""
    for number, line in enumerate(text.splitlines(), 1):
        if mark := UNFINISHED.search(line):
            yield number, f"{mark.group()}: finish it or open an issue"
        if path := MACHINE_PATH.search(line):
            yield number, f"machine path {path.group()}: take it from an argument, the project or tmp_path"


def parameters(function: Function, *, method: bool) -> int:
    """How many parameters a caller may give; self and cls are not counted."""
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    names += [a.arg for a in (given.vararg, given.kwarg) if a]
    return len(names) - (method and bool(names) and names[0] in ("self", "cls"))


def is_command(function: Function) -> bool:
    """Whether typer reads the parameters: then each one is an option on the command line."""
    return any(
        name in ast.unparse(decorator) for decorator in function.decorator_list for name in (".command", ".callback")
    )


def function_findings(function: Function, *, method: bool) -> Iterator[tuple[int, str]]:
    """A function that is too long or takes too much."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if lines > FUNCTION_LINES:
        yield function.lineno, f"function {function.name} has {lines} lines, {FUNCTION_LINES} allowed"
    count = parameters(function, method=method)
    if count > PARAMETERS and not is_command(function):
        yield (
            function.lineno,
            f"function {function.name} takes {count} parameters, {PARAMETERS} allowed: group some in a value",
        )


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler catches everything and does nothing about it."""
    caught = "everything" if handler.type is None else ast.unparse(handler.type)
    idle = (ast.Pass, ast.Continue)
    does_nothing = all(
        isinstance(step, idle) or (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant))
        for step in handler.body
    )
    return does_nothing and caught in ("everything", "Exception", "BaseException")


def code_findings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Functions over budget, swallowed errors, stubs, and classes named Manager."""
    methods = {id(step) for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for step in node.body}
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield from function_findings(node, method=id(node) in methods)
        elif isinstance(node, ast.ClassDef) and node.name.lower().endswith(("manager", "helper", "utils")):
            yield node.lineno, f"class {node.name}: name it after what it is"
        elif isinstance(node, ast.ExceptHandler) and swallows(node):
            yield node.lineno, "an error is swallowed: catch what is expected, or say what happened"
        elif isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
            yield node.lineno, "NotImplementedError: leave out what is not there"


def findings(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """All that is wrong with one file, as (line, what)."""
    text = path.read_text(encoding="utf-8", errors="replace")
    yield from text_findings(text)
    if path.suffix != ".py":
        return
    lines = len(text.splitlines())
    allowed = TEST_FILE_LINES if path.relative_to(root).parts[0] == "tests" else FILE_LINES
    if lines > allowed:
        yield 1, f"file has {lines} lines, {allowed} allowed"
    if VAGUE_NAMES & set(path.stem.split("_")):
        yield 1, f"file name {path.name}: name it after what it holds"
    try:
        yield from code_findings(ast.parse(text))
    except SyntaxError as error:
        yield error.lineno or 1, f"is not Python: {error.msg}"


def main(root: Path) -> int:
    """Look through every file; the number of findings decides the exit code."""
    count = looked = 0
    for path in files(root):
        looked += 1
        for line, what in findings(path, root):
            count += 1
            print(f"{path.relative_to(root)}:{line}: {what}")
    print(f"budgets: {looked} files, {count} findings")
    return 1 if count or not looked else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()))
