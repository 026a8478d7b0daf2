"""The benchmarks' pages are what their templates and recorded figures make; nothing is measured here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_measured_pages_are_those_of_the_recorded_figures() -> None:
    run = bench("pages", "--check")
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_page_that_differs_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from bench import pages; pages.DOCS = Path(sys.argv.pop(1)); "
        "sys.exit(pages.main())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "quality", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert "quality" in run.stdout


def test_every_benchmark_is_listed_with_what_it_measures() -> None:
    lines = bench().stdout.splitlines()
    assert len(lines) > 25
    assert all(re.match(r"\w+ +\w+ +\S.{20,}", line) for line in lines)


def test_an_unknown_benchmark_is_refused() -> None:
    run = bench("serach")
    assert run.returncode == 2
    assert "python -m bench lists them" in run.stderr


@pytest.mark.parametrize("folder", ["tests", "bench", "tools", "src"])
def test_bench_and_tests_import_nothing_of_each_other(folder: str) -> None:
    imports = re.compile(r"^\s*(?:from|import) (bench|tests|support)\b", re.MULTILINE)
    allowed = {"tests": {"support"}, "bench": {"bench"}}.get(folder, set())
    for path in (ROOT / folder).rglob("*.py"):
        found = set(imports.findall(path.read_text(encoding="utf-8")))
        assert found <= allowed, f"{path.relative_to(ROOT)} imports {found - allowed}"
