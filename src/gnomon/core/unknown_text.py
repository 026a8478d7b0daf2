"""The vector of a text that its model knows no token of: one direction, near no other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float

from gnomon.core.errors import UnknownText

_SEED = 7
_SHOWN = 5


@lru_cache(maxsize=16)
def unknown_vector(dim: int) -> Float[np.ndarray, " dim"]:
    """A unit vector of equal parts whose signs a fixed seed draws: its cosine with any other is about 1/sqrt(dim).

    A zero vector has no cosine, and no place in a cosine space. The first numbers of it are those of a shorter one, so
    that a prefix of it, normalised, is the shorter one.

    >>> bool(np.allclose(unknown_vector(8)[:4] * 2**0.5, unknown_vector(4)))
    True
    """
    signs = (np.random.PCG64(_SEED).random_raw(dim) & 1).astype(np.float32) * 2 - 1
    return np.asarray(signs / np.sqrt(np.float32(dim)), dtype=np.float32)


def are_unknown(rows: Float[np.ndarray, "texts dim"]) -> Bool[np.ndarray, " texts"]:
    """Which rows are the vector of texts without a known token."""
    return np.asarray(np.abs(rows - unknown_vector(rows.shape[1])).max(axis=1, initial=0.0) < 1e-6)


def warn_unknown(positions: Sequence[int], *, of: int, name: str) -> None:
    """Warn UnknownText of texts, counted from 0, that the model knows no token of."""
    if len(positions):
        shown = ", ".join(str(at + 1) for at in positions[:_SHOWN]) + (", …" if len(positions) > _SHOWN else "")
        warnings.warn(
            f"{len(positions)} of {of} texts have no token that {name} knows (number {shown}): search by meaning "
            "cannot find them, keyword search can",
            UnknownText,
            stacklevel=3,
        )
