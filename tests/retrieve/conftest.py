"""A corpus of sentences that share words, with its indexes and lookups, by a toy encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.index.lexical import LexicalIndex
from gnomon.retrieve.filter import ChunkLookup
from gnomon.testing.toys import HashEncoder

WORDS = "tea kettle water leaf whale ocean krill ship engine wing flow drag pump valve".split()


@dataclass(frozen=True, eq=False)
class World:
    """Sixty texts; ids are multiples of three."""

    encoder: HashEncoder
    ids: np.ndarray
    texts: list[str]
    vectors: Vectors
    dense: ExactIndex
    lexical: LexicalIndex

    @property
    def lookups(self) -> ChunkLookup:
        return ChunkLookup(self._vectors_of, self._texts_of)

    def _at(self, ids):
        assert len(ids) == len(np.unique(ids)), "asked for an id twice"
        return np.flatnonzero(np.isin(self.ids, ids))

    def _vectors_of(self, ids):
        at = self._at(ids)
        return self.ids[at], self.vectors.take(at)

    def _texts_of(self, ids):
        at = self._at(ids)
        return self.ids[at], [""] * len(at), [self.texts[i] for i in at]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder: Path = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(4)
    texts = [" ".join(rng.choice(WORDS, rng.integers(3, 8))) for _ in range(60)]
    encoder, ids = HashEncoder(32), np.arange(60) * 3
    vectors = encoder.encode(texts, role="document")
    dense = ExactIndex(encoder.space)
    dense.add(ids, vectors)
    lexical = LexicalIndex.create(folder / "words")
    lexical.add(ids, [""] * 60, texts)
    lexical.commit(1)
    return World(encoder, ids, texts, vectors, dense, lexical)
