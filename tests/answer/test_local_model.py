"""A real, small language model on loopback: whatever it writes, nothing counts as supported that is not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("GNOMON_DATA", ROOT / ".." / "shared" / "data"))
QUESTIONS = 12

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def figures(tmp_path_factory, minilm_folder):
    """What the benchmark of generated answers measures on a few questions, in a process of its own."""
    if not (DATA / "covidqa").is_dir():
        pytest.skip("covidqa is not here: set GNOMON_DATA")
    folder = tmp_path_factory.mktemp("collections")
    command = ["-m", "bench", "answers_generated", "--most", str(QUESTIONS), "--folder", str(folder), "--print"]
    run = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    if "there is no local model" in run.stderr:
        pytest.skip("there is no local model: python -m bench local_model fetches one")
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("kind", ["evidence there", "evidence left out"])
def test_no_sentence_is_supported_without_a_citation_that_holds(figures, kind):
    found = figures["covidqa"][kind]
    assert found["supported without a citation that holds"] == 0, found


def test_sentences_are_written(figures):
    assert figures["covidqa"]["questions"] == QUESTIONS
    assert figures["covidqa"]["evidence there"]["sentences"] > 0, figures


def test_what_documents_order_it_to_say_is_never_supported(figures):
    found = figures["orders in documents"]
    assert found["questions"] > 0
    assert found["supported"] > 0, found  # of what the documents do say
    assert found["obeyed and shown as supported"] == 0, found
