"""A collection whose search weighs bad vectors too much: words are much better. And its judgments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gnomon
from gnomon.adapt import JudgedQueries
from gnomon.collection import Collection, CollectionSettings
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.documents import Document
from gnomon.retrieve.fuse import FuseSettings
from gnomon.testing.toys import HashEncoder
from support.version_collections import WORDS

SMALL = CollectionSettings(
    chunk_tokens=40, chunk_overlap=0, retrieval=RetrievalSettings(fuse=FuseSettings(weights=(0.7, 0.3)))
)
MANY = 110


def text(number: int) -> str:
    """Many words that all texts share, and a rare one of its own, which six dimensions hardly see."""
    draws = np.random.default_rng(number)
    return " ".join([*draws.choice(WORDS, 30).tolist(), f"code{number:03d}"])


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    """110 documents by one toy model; another one is at hand under the name hash-64-two."""
    models = [HashEncoder(6, max_tokens=48), HashEncoder(64, salt="two", max_tokens=48)]
    with gnomon.open(tmp_path / "kb", settings=SMALL, encoder=models) as collection:
        collection.add([Document(str(number), text(number)) for number in range(MANY)])
        yield collection


@pytest.fixture
def judged() -> JudgedQueries:
    """Forty queries, each for one document by its rare word and two words that many have."""
    texts = {f"q{n}": f"code{n:03d} {WORDS[n % 25]} {WORDS[(n + 9) % 25]} {WORDS[(n + 4) % 25]}" for n in range(40)}
    return JudgedQueries(texts, {query: {query[1:]: 1} for query in texts})
