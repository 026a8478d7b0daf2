"""Held-out queries, and how near a map comes to what re-embedding finds for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from gnomon.core.contracts import Array
from gnomon.evolve.bridge_maps import Pairs, rises
from gnomon.kernels.bridging import line, recall

_CALIBRATED = 10
"""The best of each held-out query, from which scores are calibrated."""


class Trial:
    """Queries, or None for the passages themselves, asked of passages; `at` of the nearest count."""

    def __init__(self, passages: Pairs, queries: Pairs | None, at: int) -> None:
        self._passages, self._asked, self._at = passages, queries or passages, at
        self._is_own = queries is None

    @cached_property
    def _true(self) -> Array:
        return self._without_own(self._asked.new.data @ self._passages.new.data.T)

    @cached_property
    def _olds(self) -> Array:
        return self._without_own(self._asked.old.data @ self._passages.old.data.T)

    def _mapped(self, arrays: Mapping[str, Array]) -> Array:
        return self._without_own(rises(arrays, self._asked.new.data, self._passages.old))

    def _without_own(self, scores: Array) -> Array:
        """A passage does not find itself."""
        if self._is_own:
            np.fill_diagonal(scores, -np.inf)
        return scores

    def recall(self, arrays: Mapping[str, Array] | None, rows: Array) -> Array:
        """The share of the new model's nearest found for each of these queries; None: by the old model."""
        found = self._olds if arrays is None else self._mapped(arrays)
        return recall(found[rows], self._true[rows], self._at)

    def scale(self, arrays: Mapping[str, Array]) -> tuple[float, float, float]:
        """See `Bridge.scale`: least squares, rank by rank, from queries' best scores to their best true ones.

        Not passage by passage: that gives what a score is to be expected to be, and a guess varies less than
        what it guesses. Passages that wait would then come in too rarely among those whose scores are known.
        """
        found = self._mapped(arrays)
        many = min(_CALIBRATED, found.shape[1] - 1)
        best, true = (np.sort(scores, axis=1)[:, -many:] for scores in (found, self._true))
        generic = np.broadcast_to((self._asked.new.data @ arrays["mean"])[:, None], best.shape)
        slopes, constant = line(np.column_stack([best.ravel(), generic.ravel()]), true.ravel())
        return float(slopes[0]), float(slopes[1]), constant
