"""What users may rely on: the public names and signatures, and what an import costs."""

import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[2]
HEAVY = {
    "faiss",
    "huggingface_hub",
    "openvino",
    "scipy",
    "semantic_text_splitter",
    "sentence_transformers",
    "sqlalchemy",
    "tantivy",
    "tokenizers",
    "torch",
    "transformers",
}


def test_public_api_is_as_pinned() -> None:
    run = subprocess.run(
        [sys.executable, "tools/api.py", "--check"], cwd=HOUSE, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def imported(statement: str) -> set[str]:
    """The top-level packages that a fresh Python imports for a statement."""
    run = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", statement], capture_output=True, text=True, check=True
    )
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in run.stderr.splitlines()}


@pytest.mark.parametrize("module", ["gnomon", "gnomon.testing", "gnomon.cli.main"])
def test_import_loads_nothing_heavy(module: str) -> None:
    assert imported(f"import {module}") & HEAVY == set()


def test_heavy_imports_would_be_seen() -> None:
    assert imported("import numpy, tokenizers") & HEAVY == {"tokenizers"}


def test_import_says_and_touches_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os; before = dict(os.environ); import gnomon; print(before == os.environ)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (run.stdout, run.stderr, list(tmp_path.iterdir())) == ("True\n", "", [])
