"""What the runtime weighs and what importing it costs.

    python -m bench install

The size is that of gnomon and all it requires, extras left out, by the files that each distribution lists.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.record import spread, write


def closure(name: str) -> set[str]:
    """A distribution and all that it requires here, without extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        distribution = importlib.metadata.distribution(waiting.pop())
        own = distribution.metadata["Name"].lower().replace("_", "-")
        if own in found:
            continue
        found.add(own)
        for requirement in distribution.requires or []:
            wanted = re.match(r"[\w.-]+", requirement)
            if wanted and "extra ==" not in requirement and _is_installed(wanted.group()):
                waiting.append(wanted.group())
    return found


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def installed_bytes(name: str) -> int:
    """The size of the files of a distribution, compiled caches left out."""
    files = importlib.metadata.distribution(name).files or []
    paths = {Path(str(file.locate())) for file in files if file.suffix != ".pyc"}
    return sum(path.stat().st_size for path in paths if path.is_file())


def import_seconds(code: str, runs: int = 7) -> list[float]:
    """Wall seconds of a whole Python process that runs the code, less those of one that does nothing."""
    taken = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        middle = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        taken.append((middle - started) - (time.perf_counter() - middle))
    return taken[1:]


def main() -> None:
    """Measure and write results/install.json."""
    sizes = {name: installed_bytes(name) for name in closure("gnomon")}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    no_torch = "import gnomon, sys; sys.exit('torch' in sys.modules)"
    write(
        "install",
        {
            "packages": len(sizes),
            "installed_mib": round(sum(sizes.values()) / 2**20, 1),
            "largest_mib": {name: round(size / 2**20, 1) for name, size in largest},
            "import_gnomon_s": spread(import_seconds(no_torch)),
            "import_everything_for_search_s": spread(
                import_seconds("import gnomon.collection, gnomon.encode.transformer, openvino, faiss, tantivy")
            ),
        },
    )


if __name__ == "__main__":
    main()
