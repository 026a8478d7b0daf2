"""A judged corpus whose answers are known, and models that are made in a moment."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from support.static_models import write_word_model

TOPICS = (
    "sundial whale teapot glacier violin lantern orchard compass beetle harbour anvil meadow quarry saddle "
    "thimble walnut"
).split()
CANARIES = ("return", "km", "read")  # a collection tries texts of its own, which must have a known word
QUERIES = {f"q{number}": f"about the {topic}" for number, topic in enumerate(TOPICS)}


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """A JSON object a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_topics(folder: Path) -> Path:
    """A BEIR folder: a document each topic, and a query for each by its very word."""
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{n}", "title": "", "text": f"You can see the {t} here."} for n, t in enumerate(TOPICS)]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", [{"_id": q, "text": text} for q, text in QUERIES.items()])
    lines = "".join(f"q{number}\td{number}\t1\n" for number in range(len(TOPICS)))
    (folder / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    return folder


def write_topic_model(folder: Path, topics: Sequence[str] = TOPICS) -> Path:
    """A static model that knows these topics' words, each in a direction of its own."""
    words = ["[PAD]", "[UNK]", "about", "the", "is", "here", "you", "can", "see", *CANARIES, *topics]
    vectors = np.eye(len(words), dtype=np.float32)
    vectors[:12] *= 0.01  # what says nothing weighs nothing
    return write_word_model(folder, words, vectors)
