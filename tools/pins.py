"""Write constraints.txt anew: the newest releases that pyproject.toml allows together."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = """\
# The exact releases that this project is built, checked and measured with. Written by `make pins`.
# They bind the project's own set-up only: whoever installs gnomon gets the ranges of pyproject.toml.
# Every pin has wheels for Python 3.11, 3.12 and 3.13.
#
# torch is no dependency, only an extra. The tests of its path and the reference environment of bench/ want
# this release, whichever build the package index has; freezing would name one build.
torch==2.13.0
"""


def frozen(folder: Path) -> list[str]:
    """The pins of an environment in `folder` that holds gnomon, the dev group and the build backend."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip"]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    subprocess.run([*pip, "install", "-q", "--upgrade", "pip"], check=True)
    subprocess.run([*pip, "install", "-q", "--group", "dev", *build, "editables", str(ROOT)], check=True, cwd=ROOT)
    listing = subprocess.run([*pip, "freeze", "--all"], check=True, capture_output=True, text=True).stdout
    return sorted((line for line in listing.splitlines() if "==" in line), key=str.lower)


def main() -> None:
    """Build, freeze, write."""
    with tempfile.TemporaryDirectory() as folder:
        pins = frozen(Path(folder) / "venv")
    kept = [pin for pin in pins if not pin.startswith(("gnomon==", "setuptools==", "torch=="))]
    (ROOT / "constraints.txt").write_text(HEADER + "\n".join(kept) + "\n", encoding="utf-8")
    print(f"constraints.txt: {len(kept)} pins")


if __name__ == "__main__":
    main()
