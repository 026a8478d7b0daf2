"""Held-out queries, and how near a map comes to what re-embedding finds for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from gnomon.core.contracts import Array
from gnomon.evolve.bridge_maps import Pairs, rises
from gnomon.kernels.bridging import line, recall

_CALIBRATED = 50
"""The best of each held-out query, from which scores are calibrated."""


class Trial:
    """Queries `asked` of passages: `own` are the places of those that are passages themselves, else None.

    `at` is how many of the nearest count.
    """

    def __init__(self, passages: Pairs, asked: Pairs, own: Array | None, at: int) -> None:
        self._passages, self._asked, self._own, self._at = passages, asked, own, at

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
        if self._own is not None:
            scores[np.arange(len(scores)), self._own] = -np.inf
        return scores

    def recall(self, arrays: Mapping[str, Array] | None, rows: Array) -> Array:
        """The share of the new model's nearest found for each of these queries; None: by the old model."""
        found = self._olds if arrays is None else self._mapped(arrays)
        return recall(found[rows], self._true[rows], self._at)

    def scale(self, arrays: Mapping[str, Array]) -> tuple[float, float, float]:
        """See `Bridge.scale`: least squares over the best of all held-out queries."""
        found = self._mapped(arrays)
        best = np.argsort(-found, axis=1)[:, : min(_CALIBRATED, found.shape[1] - 1)]
        generic = np.broadcast_to((self._asked.new.data @ arrays["mean"])[:, None], best.shape)
        features = np.column_stack([np.take_along_axis(found, best, axis=1).ravel(), generic.ravel()])
        slopes, constant = line(features, np.take_along_axis(self._true, best, axis=1).ravel())
        return float(slopes[0]), float(slopes[1]), constant
