"""What every index checks before it does anything."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, InvalidVectors
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.kernels.similarity import normalise


def checked_k(k: int) -> int:
    """`k` when it is at least 1. Raises InvalidInput."""
    if k < 1:
        raise InvalidInput(f"k = {k}", wanted="at least 1", next_step="ask for one result or more")
    return int(k)


def checked_ids(ids: Any) -> Int[np.ndarray, " items"]:
    """Ids as one int64 row. Raises InvalidInput for anything but whole numbers in one dimension."""
    array = np.asarray(ids)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidInput(
            f"ids of shape {array.shape} and type {array.dtype}",
            wanted="a one-dimensional array of whole numbers",
        )
    return array.astype(np.int64)


def checked_new(ids: Any, items: int) -> Int[np.ndarray, " items"]:
    """Ids for `items` new items: as many, and each once. Raises InvalidVectors."""
    array = checked_ids(ids)
    if len(array) != items:
        raise InvalidVectors(f"{len(array)} ids for {items} items", wanted="one id an item")
    distinct = len(np.unique(array))
    if distinct != len(array):
        raise InvalidVectors(
            f"{len(array)} ids of which {len(array) - distinct} are repeated",
            wanted="each id once in one call",
            next_step="keep the last item of each id",
        )
    return array


def comparable(space: Space, vectors: Vectors) -> Float[np.ndarray, "rows dim"]:
    """The rows as this space compares them: for cosine each of length 1.

    Raises SpaceMismatch for another space, InvalidVectors for a zero vector in a cosine space.
    """
    space.require(vectors.space)
    return normalise(vectors.data) if space.similarity == "cosine" else vectors.data
