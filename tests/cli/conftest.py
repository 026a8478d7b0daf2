"""A judged corpus whose answers are known, and a model that is made in a moment."""

import json

import numpy as np
import pytest

import gnomon
from gnomon.testing.toys import HashEncoder
from support.static_models import write_word_model

TOPICS = (
    "sundial whale teapot glacier violin lantern orchard compass beetle harbour anvil meadow quarry saddle "
    "thimble walnut"
).split()
CANARIES = ("return", "km", "read")  # a collection tries texts of its own, which must have a known word
QUERIES = {f"q{number}": f"about the {topic}" for number, topic in enumerate(TOPICS)}


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def judged(tmp_path):
    """A BEIR folder: a document each topic, and a query for each by its very word."""
    folder = tmp_path / "topics"
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "title": "", "text": f"You can see the {t} here."} for n, t in enumerate(TOPICS)]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [{"_id": q, "text": text} for q, text in QUERIES.items()])
    lines = "".join(f"q{number}\td{number}\t1\n" for number in range(len(TOPICS)))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    return folder


@pytest.fixture
def kb(judged, tmp_path):
    """A collection of the judged corpus; its toy encoder cannot be loaded by name: it is asked by word."""
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as collection:
        collection.index([judged / "corpus.jsonl"])
    return tmp_path / "kb"


@pytest.fixture
def model(tmp_path):
    """The folder of a static model that knows the topics' words, each in a direction of its own."""
    words = ["[PAD]", "[UNK]", "about", "the", "is", "here", "you", "can", "see", *CANARIES, *TOPICS]
    vectors = np.eye(len(words), dtype=np.float32)
    vectors[:12] *= 0.01  # what says nothing weighs nothing
    return write_word_model(tmp_path / "words-model", words, vectors)


@pytest.fixture
def saved(tmp_path):
    """Saves a run in which so many queries find their document, and those after them another one."""

    def save(name, right, *, documents="d", queries=16):
        results = {f"q{n}": {f"{documents}{n if n < right else (n + 1) % len(TOPICS)}": 1.0} for n in range(queries)}
        return gnomon.evaluate.Run(name.split(".")[0], results).save(tmp_path / name)

    return save
