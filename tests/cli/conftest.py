"""A judged corpus whose answers are known, and a model that is made in a moment."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import gnomon
from gnomon.testing.toys import HashEncoder
from support.judged_topics import TOPICS, write_topic_model, write_topics


@pytest.fixture
def judged(tmp_path):
    """A BEIR folder: a document each topic, and a query for each by its very word."""
    return write_topics(tmp_path / "topics")


@pytest.fixture
def kb(judged, tmp_path):
    """A collection of the judged corpus; its toy encoder cannot be loaded by name: it is asked by word."""
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as collection:
        collection.index([judged / "corpus.jsonl"])
    return tmp_path / "kb"


@pytest.fixture
def model(tmp_path):
    """The folder of a static model that knows the topics' words, each in a direction of its own."""
    return write_topic_model(tmp_path / "words-model")


@pytest.fixture
def saved(tmp_path):
    """Saves a run in which so many queries find their document, and those after them another one."""

    def save(name, right, *, documents="d", queries=16):
        results = {f"q{n}": {f"{documents}{n if n < right else (n + 1) % len(TOPICS)}": 1.0} for n in range(queries)}
        return gnomon.evaluate.Run(name.split(".")[0], results).save(tmp_path / name)

    return save


@pytest.fixture
def other(model, tmp_path):
    """Another model as good as the first: its dimensions stand in another order."""
    folder = tmp_path / "other-model"
    shutil.copytree(model, folder)
    vectors = load_file(model / "model.safetensors")["embeddings"]
    save_file({"embeddings": np.roll(vectors, 1, axis=1).copy()}, folder / "model.safetensors")
    return folder
