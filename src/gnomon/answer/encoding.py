"""Texts of passages to vectors of length 1: one that a model has no vector for says nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput


def unit_vectors(encoder: Encoder, texts: Sequence[str], role: Role) -> Float[np.ndarray, "texts dim"]:
    """A row a text, of length 1 in any space with one vector a text, so that products are cosines.

    A row is 0 for a text without a direction: a static model refuses texts of which it knows no word, and one
    such line of a passage must not end a question.
    """
    rows = np.zeros((len(texts), encoder.space.dim), dtype=np.float32)
    if not texts:
        return rows
    try:
        rows[:] = encoder.encode(texts, role=role).data
    except InvalidInput:
        if len(texts) == 1:
            return rows
        half = len(texts) // 2
        parts = [unit_vectors(encoder, part, role) for part in (texts[:half], texts[half:])]
        return np.concatenate(parts)
    return unit(rows)


def unit(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Rows of length 1, or 0 where there is no direction, so that any space's products are cosines."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
