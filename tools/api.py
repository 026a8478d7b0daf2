"""Pin the public API: every public name with its signature, in one text file that a review can read.

Usage: python tools/api.py writes tests/house/public_api.txt; with --check it compares and exits 1 on a
difference. Public are the names in `__all__` of the MODULES.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

MODULES = ("gnomon", "gnomon.answer", "gnomon.evaluate", "gnomon.testing")
PINNED = Path("tests") / "house" / "public_api.txt"


def signature(thing: object) -> str:
    """The signature as text, the same on every Python: no addresses, no quotes around annotations."""
    if not callable(thing):
        return ""
    try:
        text = str(inspect.signature(thing))
    except (TypeError, ValueError):
        return "(...)"
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", re.sub(r" at 0x[0-9a-f]+", "", text))


def members(kind: type) -> Iterator[str]:
    """A class's own public attributes, methods and properties; those of foreign bases are not ours to pin."""
    seen: set[str] = set()
    for base in kind.__mro__:
        if not base.__module__.startswith("gnomon"):
            continue
        for name, member in sorted(vars(base).items()):
            if name in seen or (name.startswith("_") and name != "__call__"):
                continue
            seen.add(name)
            if isinstance(member, property):
                yield f"{name}: property{signature(member.fget)}"
            elif isinstance(member, staticmethod | classmethod):
                yield f"{name}{signature(member.__func__)}"
            elif inspect.isroutine(member):
                yield f"{name}{signature(member)}"


def surface() -> str:
    """The public API as text."""
    lines = []
    for module_name in MODULES:
        module = importlib.import_module(module_name)
        for name in sorted(getattr(module, "__all__", ())):
            thing = getattr(module, name)
            if isinstance(thing, type):
                bases = ", ".join(b.__name__ for b in thing.__bases__ if b is not object)
                shown = signature(thing) if not issubclass(thing, BaseException) else ""
                lines.append(f"{module_name}.{name}: class {shown} [{bases}]".replace(" []", ""))
                lines += [f"{module_name}.{name}.{member}" for member in sorted(members(thing))]
            elif callable(thing):
                lines.append(f"{module_name}.{name}{signature(thing)}")
            else:
                lines.append(f"{module_name}.{name}: {type(thing).__name__}")
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
