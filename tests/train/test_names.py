"""The names of training: reached from `import gnomon`, and the old ones with a warning that says the new one."""

import importlib
import subprocess
import sys

import pytest

from gnomon.train.report.results import FitReport


def test_training_is_reached_from_gnomon_alone():
    code = "import gnomon; print(gnomon.train.read_recipe.__name__, gnomon.train.fit.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["read_recipe", "fit"], done.stderr


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("gnomon.train.data", "Source", "gnomon.train.data.DataSource"),
        ("gnomon.train.data", "SourceSettings", "gnomon.train.data.DataSourceSettings"),
        ("gnomon.train.data", "Finding", "gnomon.train.data.DataFinding"),
        ("gnomon.train.data", "Place", "gnomon.train.data.StreamState"),
        ("gnomon.train.data", "Cursor", "gnomon.train.data.SourceCursor"),
        ("gnomon.train.data", "Lengths", "gnomon.train.data.LengthLimits"),
        ("gnomon.train.losses", "objective", "gnomon.train.losses.make_loss"),
        ("gnomon.train.losses", "wrapped", "gnomon.train.losses.wrap_loss"),
        ("gnomon.train.losses", "OBJECTIVES", "gnomon.train.losses.LOSSES"),
        ("gnomon.train.words", "train_words", "gnomon.word_vectors.train_words"),
        ("gnomon.train.words", "WordVectors", "gnomon.word_vectors.WordVectors"),
        ("gnomon.word_vectors", "WordStep", "gnomon.core.progress.Progress"),
        ("gnomon.train", "FitProgress", "gnomon.core.progress.Progress"),
        ("gnomon.collection", "Progress", "gnomon.core.progress.Progress"),
    ],
)
def test_old_names_lead_to_the_new_ones(module, old, new):
    place, _, name = new.rpartition(".")
    with pytest.warns(DeprecationWarning, match=f"{module}.{old} is now {place}.{name}"):
        found = getattr(importlib.import_module(module), old)
    assert found is getattr(importlib.import_module(place), name)
    assert not hasattr(importlib.import_module(module), "no_such_name")


def test_all_names_of_the_old_words_module_are_there():
    old = importlib.import_module("gnomon.train.words")
    with pytest.warns(DeprecationWarning, match="is now gnomon.word_vectors"):
        assert all(getattr(old, name) is not None for name in old._NAMES)


def test_a_reports_looks_are_its_evaluations():
    report = FitReport("m", "m.training", "bi", "done", 1, 1, 0.1, "float32", ((1, 0.5),), 1, (), None, {}, {"dev": {}})
    with pytest.warns(DeprecationWarning, match="evaluations"):
        assert report.looks == report.evaluations
    assert report.to_json()["looks"] == report.to_json()["evaluations"] == [[1, 0.5]]
