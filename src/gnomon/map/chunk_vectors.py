"""The vectors that a map is made of: one a chunk, as the version's vector index keeps them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from gnomon.collection.indexes.vector_index import VectorIndex
from gnomon.core.batching import in_blocks
from gnomon.core.similarity import normalise

_BLOCK = 1 << 14
"""Rows that are read at once: bounds memory where the index is mapped from disk."""


class ChunkVectors:
    """Vectors by chunk id at one journal position. Of late interaction a chunk's vector is the mean of its tokens'.

    `ids` are rising. Vectors of spaces that compare angles have length 1.
    """

    def __init__(self, index: VectorIndex) -> None:
        rows = index.rows
        places = np.arange(len(rows.ids)) if rows.live is None else np.flatnonzero(rows.live)
        order = np.argsort(rows.ids[places], kind="stable")
        self._index, self._places = index, places[order]
        self.ids: Int[np.ndarray, " chunks"] = rows.ids[self._places]
        self.compares_angles = index.space.similarity in ("cosine", "maxsim")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, at: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some dim"]:
        """The vectors at these places of `ids`, float32."""
        rows = self._index.pooled(self._places[at])
        return normalise(rows, allow_zero=True) if self._index.space.similarity == "maxsim" else rows

    def blocks(self) -> Iterator[tuple[Int[np.ndarray, " some"], Float[np.ndarray, "some dim"]]]:
        """All of them, as (places, vectors)."""
        for at in in_blocks(np.arange(len(self)), _BLOCK):
            yield at, self.take(at)

    def sample(self, most: int) -> Int[np.ndarray, " some"]:
        """Places of at most so many, chosen at random but always the same; rising."""
        if len(self) <= most:
            return np.arange(len(self))
        return np.sort(np.random.default_rng(0).choice(len(self), most, replace=False))
