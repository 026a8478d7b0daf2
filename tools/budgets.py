"""The budgets that no linter has: lengths of files and functions, vague names, paths of one machine.

Usage: python tools/budgets.py [ROOT]. Prints one line a finding and exits 1 when there is any.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("src", "tests", "tools", "bench", "docs", ".ci")
SUFFIXES = {".py", ".pyi", ".md", ".toml", ".txt", ".yml", ".yaml", ".sh", ".html", ".js", ".css", ".j2", ""}
FILE_LINES, TEST_FILE_LINES, FUNCTION_LINES = 500, 600, 50
# Written in pieces, so that this file passes its own gate.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~/<-])/(?:work|root|tmp|home/\w+|Users/\w+)\b(?:/[\w.-]+)*")
VAGUE_NAMES = {"util", "utils", "common", "helper", "helpers", "misc"}


def files(root: Path) -> Iterator[Path]:
    """The text files that are the project's own: top level and FOLDERS, caches left out."""
    found = [path for path in root.iterdir() if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (root / folder).rglob("*") if path.is_file()]
    for path in sorted(found):
        is_cache = any("__pycache__" in part or ".egg" in part for part in path.parts)
        if path.suffix in SUFFIXES and not is_cache:
            yield path


def findings(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """All that is wrong with one file, as (line, what)."""
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if path.suffix != ".py" and (mark := UNFINISHED.search(line)):  # ruff's FIX has those of code
            yield number, f"{mark.group()}: finish it or open an issue"
        if found := MACHINE_PATH.search(line):
            yield number, f"machine path {found.group()}: take it from an argument, the project or tmp_path"
    if path.suffix != ".py":
        return
    lines = len(text.splitlines())
    allowed = TEST_FILE_LINES if path.relative_to(root).parts[0] == "tests" else FILE_LINES
    if lines > allowed:
        yield 1, f"file has {lines} lines, {allowed} allowed"
    if VAGUE_NAMES & set(path.stem.split("_")):
        yield 1, f"file name {path.name}: name it after what it holds"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield node.lineno, f"function {node.name} has {length} lines, {FUNCTION_LINES} allowed"
        elif isinstance(node, ast.Raise) and node.exc and "NotImplementedError" in ast.unparse(node.exc):
            yield node.lineno, "NotImplementedError: leave out what is not there"


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
