"""Orders that a seed decides for good."""

from __future__ import annotations

import zlib

import numpy as np
from jaxtyping import Int


def shuffled(count: int, *seed: int) -> Int[np.ndarray, " count"]:
    """The numbers 0 to count - 1 in an order that the seed decides.

    By the raw stream of PCG64, which numpy promises to keep, and not by its shuffles, which it may change.

    >>> shuffled(5, 1, 2).tolist() == shuffled(5, 1, 2).tolist()
    True
    >>> sorted(shuffled(5, 7).tolist())
    [0, 1, 2, 3, 4]
    """
    order = np.argsort(_stream(seed).random_raw(count), kind="stable")
    return order.astype(np.uint32 if count < 2**32 else np.int64)


def uniform(*seed: int) -> float:
    """A number from 0 to below 1 that the seed decides.

    >>> 0 <= uniform(3, 4) < 1
    True
    """
    return float(_stream(seed).random_raw() >> 11) * 2.0**-53


def named(name: str) -> int:
    """A number for a name, to be part of a seed.

    >>> named("faq") != named("docs")
    True
    """
    return zlib.crc32(name.encode())


def _stream(seed: tuple[int, ...]) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence(seed))
