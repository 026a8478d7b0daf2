"""Buckets of the distances between tokens, as T5, MPNet and DeBERTa-v2 know them."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Int


def t5_buckets(
    relative: Int[np.ndarray, " distances"], *, buckets: int = 32, farthest: int = 128
) -> Int[np.ndarray, " distances"]:
    """T5's bucket of each distance (key minus query position): half of the buckets for each direction, the first half
    of these exact and the others logarithmic up to `farthest` (Raffel et al. 2019, arXiv:1910.10683, section 2.1).

    >>> t5_buckets(np.array([0, -7, -8, 7, 1000])).tolist()
    [0, 7, 8, 23, 31]
    """
    half = buckets // 2
    exact = half // 2
    distance = np.abs(relative)
    # In float32 as the models were trained: at 16, 32 and 64 a rounding decides the bucket.
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    steps = ratio / np.float32(math.log(farthest / exact)) * np.float32(half - exact)
    far = np.minimum(exact + steps.astype(np.int64), half - 1)
    return np.asarray(np.where(relative > 0, half, 0) + np.where(distance < exact, distance, far))


def deberta_rows(
    relative: Int[np.ndarray, " distances"], *, buckets: int, farthest: int
) -> Int[np.ndarray, " distances"]:
    """DeBERTa-v2's row of each distance (query minus key position) in a table of as many rows for each direction:
    `buckets`, half of them exact and the others logarithmic up to `farthest`, or where that is not positive
    `farthest` (He et al. 2020, arXiv:2006.03654, equation 3; the buckets as in its authors' second version).

    >>> deberta_rows(np.array([0, 3, -5, 900]), buckets=8, farthest=16).tolist()
    [8, 11, 3, 15]
    """
    place = relative
    if buckets > 0:
        half = buckets // 2
        distance = np.where(np.abs(relative) < half, half - 1, np.abs(relative)).astype(np.float32)
        # Float32 as above, and rounded up.
        steps = np.log(distance / np.float32(half)) / np.log(np.float32((farthest - 1) / half)) * np.float32(half - 1)
        far = (np.ceil(steps) + half) * np.sign(relative)
        place = np.where(distance <= half, relative, far).astype(np.int64)
    span = buckets if buckets > 0 else farthest
    return np.asarray(np.clip(place + span, 0, 2 * span - 1))
