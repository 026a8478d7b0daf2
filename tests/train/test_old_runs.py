"""What gnomon 0.1.0 wrote while it trained is read, and gone on with.

`fixtures/training-0.1.tar.gz` was made by the last commit before the packages were regrouped (2958975): a run of twelve
steps that was stopped after the seventh, with its data; a run that ended, with its model; word vectors of GloVe and
FastText. Paths in the recipes are relative to the run's folder.
"""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

import gnomon
from gnomon.core.errors import InvalidInput
from gnomon.train import fit, load_model, load_recipe, read_recipe
from gnomon.train.report.embedding_map import read_map
from gnomon.word_vectors import load_words

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "training-0.1.tar.gz"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def old(tmp_path, monkeypatch):
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "training-0.1"
    monkeypatch.chdir(folder / "stopped")
    return folder


def test_a_stopped_run_goes_on(old):
    log = (old / "stopped/model.training/log.jsonl").read_text()
    report = fit(read_recipe(json.loads(Path("recipe.json").read_text())))
    assert (report.end, report.steps, report.examples) == ("done", 12, 192)
    assert report.evaluations[:3] == ((2, 0.3022816979557563), (4, 0.29641872410678044), (6, 0.2962756584640364))
    assert [step for step, _ in report.evaluations] == [2, 4, 6, 8, 10, 12]
    assert report.gains[0].start == 0.3017493161399682
    assert (old / "stopped/model.training/log.jsonl").read_text().startswith(log)
    seen = read_map(old / "stopped/model.training/embedding-map.npz")
    assert seen.steps[:5] == (0, 2, 3, 5, 6)
    assert seen.ended


def test_a_stopped_run_of_another_recipe_is_refused(old):
    recipe = json.loads(Path("recipe.json").read_text())
    recipe["optim"]["lr"] = 2e-3
    with pytest.raises(InvalidInput, match=r"another recipe: optim.lr"):
        fit(read_recipe(recipe))


def test_an_ended_runs_recipe_map_and_model(old):
    training = old / "ended/model.training"
    recipe = load_recipe(training / "recipe.toml")
    assert recipe.objective.matryoshka.dims == (8, 4)
    assert recipe.model.new.more == {"initializer_range": 0.2}
    seen = read_map(training / "seen.npz")
    assert (seen.steps[-1], seen.ended, seen.queries.shape[2]) == (2, True, 8)
    assert len(seen.curve()) == len(seen.steps)
    served = gnomon.load_encoder(str(old / "ended/model"))
    assert served.space.dim == 8
    assert load_model(old / "ended/model").kind == "bi"


@pytest.mark.parametrize(("method", "expected"), [("glove", -0.00700213), ("fasttext", 0.01115466)])
def test_word_vectors(old, method, expected):
    words = load_words(old / f"words-{method}")
    assert words.words[:3] == ("bost", "dest", "fur")
    assert np.isclose(words.vector("bar")[0], expected)
    assert (words.subwords is None) == (method == "glove")
