"""Pin the public API: every public name with its signature, in one text file that a review can read.

Usage: python tools/api.py writes tests/house/public_api.txt; with --check it compares and exits 1 on a difference.
Public is what the packages' `__all__` name; griffe reads it from the sources, nothing is imported.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe

SOURCES = Path("src")
PINNED = Path("tests") / "house" / "public_api.txt"


def packages(module: griffe.Module) -> Iterator[griffe.Module]:
    """The package and all packages within that say what is public."""
    if module.exports:
        yield module
    for _, part in sorted(module.modules.items()):
        if not part.is_alias and isinstance(part, griffe.Module):
            yield from packages(part)


def described(name: str, thing: griffe.Object | griffe.Alias) -> Iterator[str]:
    """A line for a name, and one for each public member of a class."""
    thing = thing.final_target if isinstance(thing, griffe.Alias) else thing
    if isinstance(thing, griffe.Function):
        yield thing.signature(name=name)
    elif isinstance(thing, griffe.Class):
        bases = f" [{', '.join(str(base) for base in thing.bases)}]" if thing.bases else ""
        yield f"{name}: class{bases}"
        for member_name, member in sorted(thing.all_members.items()):
            if member_name.startswith("_") and member_name not in ("__call__", "__init__"):
                continue
            if not member.canonical_path.startswith("gnomon."):
                continue
            yield from described(f"{name}.{member_name}", member)
    elif isinstance(thing, griffe.Attribute):
        shown = thing.annotation if thing.annotation is not None else thing.value
        yield f"{name}: {shown}"
    else:
        yield f"{name}: {thing.kind.value}"


def surface() -> str:
    """The public API as text."""
    root = griffe.load("gnomon", search_paths=[SOURCES])
    assert isinstance(root, griffe.Module)  # noqa: S101 - for mypy
    lines: list[str] = []
    for package in packages(root):
        for export in sorted({str(name) for name in package.exports or ()}):
            lines += described(f"{package.path}.{export}", package[export])
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Write the pinned file, or compare with it."""
    now = surface()
    if arguments != ["--check"]:
        PINNED.parent.mkdir(parents=True, exist_ok=True)
        PINNED.write_text(now, encoding="utf-8")
        print(f"{PINNED}: {len(now.splitlines())} lines")
        return 0
    pinned = PINNED.read_text(encoding="utf-8") if PINNED.is_file() else ""
    if now == pinned:
        print(f"public API: {len(now.splitlines())} lines, as pinned")
        return 0
    changes = difflib.unified_diff(pinned.splitlines(), now.splitlines(), str(PINNED), "now", n=0, lineterm="")
    print("\n".join(changes))
    print("The public API differs from what is pinned. If that is wanted: make api, and a line in CHANGELOG.md.")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
