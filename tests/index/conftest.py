"""Spaces and vectors for the index tests."""

from collections.abc import Callable

import numpy as np
import pytest

from gnomon.core.similarity import normalise
from gnomon.core.space import Similarity, Space
from gnomon.core.vectors import Vectors

MakeVectors = Callable[..., Vectors]


@pytest.fixture(scope="session")
def space() -> Callable[..., Space]:
    def make(similarity: Similarity = "cosine", dim: int = 24, name: str = "toy") -> Space:
        return Space(f"{name}-{similarity}-{dim}".ljust(64, "0"), dim, similarity, "float", name)

    return make


@pytest.fixture(scope="session")
def clustered() -> MakeVectors:
    """Vectors in clusters, as texts on some topics give; `cone` adds one direction that all share."""

    def make(space: Space, rows: int, *, seed: int = 0, cone: float = 0.0) -> Vectors:
        topics = np.random.default_rng(99).standard_normal((40, space.dim))
        rng = np.random.default_rng(seed)
        data = topics[rng.integers(0, 40, rows)] + rng.standard_normal((rows, space.dim))
        data[:, 0] += cone * np.sqrt(space.dim)
        return Vectors(normalise(data.astype(np.float32)), space)

    return make
