"""The benchmarks' pages are what their templates and recorded figures make; nothing is measured here."""

from __future__ import annotations

import json
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


def page_from(folder: Path, name: str) -> str:
    """A page made from the results in a folder."""
    code = (
        "import sys; from pathlib import Path; from bench import pages; pages.RESULTS = Path(sys.argv[1]); "
        "print(pages.page(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(folder), name]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_what_was_not_measured_is_named(tmp_path: Path) -> None:
    text = page_from(tmp_path, "training-figures")
    assert "Not measured yet: start, speed, reference, equal, best, short, shorter.\n" in text
    assert "Not measured yet: sts, shared, dual, words, bi, late, cross.\n" in text
    for name in ("train_rerank", "words", "context", "seen"):
        assert f"Not measured yet: {name}.\n" in text


def test_figures_are_shown_as_recorded(tmp_path: Path) -> None:
    about = {"when": "2026-01-02T03:04:05", "commit": "abc", "machine": {"python": "3.12.1"}}
    run = {"ndcg_at_10": 0.7123, "steps": 190, "pairs_a_cpu_s": 25.5, "wall_s": 600.0}
    train = {**about, "tokens": 128, "start": {"ndcg_at_10": 0.5}, "equal": run, "best": {**run, "share_kept": 0.975}}
    train["speed"] = {
        "rounds": [{"gnomon": 33.1, "reference_bf16": 20.2}], "ratios": [1.64], "reference_fp32": 9.9,
    }  # fmt: skip
    gain = {"set": "stsb", "split": "test", "metric": "Spearman", "start": 0.82, "end": 0.85}
    gains = [gain | {"interval": [0.01, 0.05], "outcome": None}, gain | {"interval": [None, None], "outcome": "x"}]
    stages = {"sts": {"gains": gains, "whole_cpu_s": 1200}, "words": {"insuranceqa-dev": 0.25}}
    for name, figures in {"train": train, "train_kinds": {**about, "stages": stages}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(figures))
    text = page_from(tmp_path, "training-figures")
    assert "| gnomon, equal settings | 0.7123 | 190 | 25.5 | 10.0 |" in text
    assert "| 33.1 | 20.2 | 1.64 |" in text
    assert "dimensions keep 97.5%" in text
    assert "| stsb (test) | Spearman | 0.8200 | 0.8500 | +0.0100 to +0.0500 |" in text
    assert "BM25 alone: insuranceqa-dev 0.2500." in text
    assert "Not measured yet: reference, short, shorter.\n" in text
    assert "Not measured yet: shared, dual, bi, late, cross.\n" in text
