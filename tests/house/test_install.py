"""What a user installs: small, complete, and without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
LIMIT_MB = 600


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_installed_package_is_small_complete_and_without_torch(tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    # Not editable: what the wheel leaves out is missing here, as it would be for a user.
    run(python, "-m", "pip", "install", "-q", "-c", HOUSE / "constraints.txt", HOUSE, cwd=tmp_path)

    listing = run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path).lower()
    names = {line.partition("==")[0] for line in listing.splitlines()}
    assert "gnomon" in names
    assert names & {"torch", "transformers", "sentence-transformers", "pytest", "mypy"} == set()

    (packages,) = (tmp_path / "venv" / "lib").glob("python3.*/site-packages")
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < LIMIT_MB * 1e6, f"{size / 1e6:.0f} MB installed"

    assert "all-MiniLM-L6-v2" in run(tmp_path / "venv" / "bin" / "gnomon", "models", cwd=tmp_path)
    for command in ("index", "search", "status", "models", "encode", "demo"):
        assert command in run(tmp_path / "venv" / "bin" / "gnomon", "--help", cwd=tmp_path)
