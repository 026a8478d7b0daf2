"""Runs benchmarks by name: `python -m bench encode search`, one benchmark's own options behind its name.

python -m bench                    # lists them, by folder
python -m bench scan --help        # what one measures, and its options
python -m bench quality filters    # several, one after the other
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDERS = ("speed", "quality", "answers", "migration", "training", "durability", "peers")


def benchmarks() -> dict[str, str]:
    """Names to modules: files of FOLDERS that run as a script."""
    found = {"pages": "bench.pages"}
    for folder in FOLDERS:
        for path in sorted((HERE / folder).glob("*.py")):
            is_part = path.stem.endswith(("_peer", "reference"))  # started by another benchmark
            if not is_part and '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
                found["peers" if path.stem == "run" else path.stem] = f"bench.{folder}.{path.stem}"
    return found


def listing() -> str:
    """A line a benchmark: its name and what it measures."""
    lines = []
    for name, module in benchmarks().items():
        path = HERE.parent.joinpath(*module.split(".")).with_suffix(".py")
        summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
        lines.append(f"{module.split('.')[1]:<12}{name:<20}{summary}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Run what is named; with one name the rest of the line is its options. Returns the first failure's code."""
    known = benchmarks()
    if not arguments:
        print(listing())
        return 0
    if arguments[0] not in known:
        print(f"no benchmark {arguments[0]!r}; python -m bench lists them", file=sys.stderr)
        return 2
    several = arguments[0] != "pages" and all(name in known for name in arguments)
    runs = [[name] for name in arguments] if several else [arguments]
    for name, *options in runs:
        code = subprocess.run([sys.executable, "-m", known[name], *options], cwd=HERE.parent, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
