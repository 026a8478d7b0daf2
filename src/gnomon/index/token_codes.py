"""Token vectors in 2 or 4 bits a dimension: TurboQuant, Zandieh et al. 2025 (arXiv:2504.19874), algorithm 1.

After a random rotation the coordinates of any vector of length 1 are nearly normal, with variance 1 / dimensions, so
that the best levels to round them to are known beforehand. Nothing is learnt: codes never have to be made anew as a
collection grows, and do not depend on what else is in it. FAISS has the same quantiser; its decoder is parallel
even for a few rows, which takes many times as long on a busy machine, and its levels may change.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

from gnomon.core.errors import InvalidInput

Bits = Literal[2, 4]
_LEVELS = {
    2: (0.4528, 1.510),
    4: (0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733),
}
"""The positive levels of least squared error for a normal distribution: Max 1960, Quantizing for Minimum Distortion,
table I. The others are their negatives."""
_SCALE_BYTES = 2


class TokenCodec:
    """A RowCodec of `bits` bits a dimension and a float16 a row, which gives a decoded row its length.

    Decoded rows are rotated, as `rotated` rotates: products with rotated queries are those of the vectors
    themselves. The cosine of a decoded row and its original is about .995 at 4 bits, .94 at 2. Raises InvalidInput
    for other bits.
    """

    def __init__(self, dim: int, bits: Bits = 4) -> None:
        if bits not in get_args(Bits):
            raise InvalidInput(f"token codes of {bits} bits", expected="2 or 4 bits a dimension")
        self.dim, self.bits = dim, bits
        half = np.array(_LEVELS[bits]) / np.sqrt(dim)
        self._levels = np.concatenate([-half[::-1], half]).astype(np.float32)
        self._borders = ((self._levels[1:] + self._levels[:-1]) / 2).astype(np.float32)
        # The levels that each byte stands for, its lowest bits first.
        shifts = np.arange(0, 8, bits)
        of_byte = self._levels[(np.arange(256)[:, None] >> shifts) & ((1 << bits) - 1)]
        self._of_byte = of_byte.view(np.dtype((np.void, of_byte.itemsize * len(shifts))))[:, 0]

    @property
    def name(self) -> str:
        """The form of the rows, as manifests have it."""
        return f"turboquant-{self.bits}"

    @property
    def width(self) -> int:
        """Bytes a row."""
        return -(-self.dim * self.bits // 8) + _SCALE_BYTES

    def rotated(self, rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
        """The rows as the decoded ones are turned; lengths and products of two stay the same."""
        return np.asarray(rows @ rotation(self.dim))

    def restored(self, rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
        """Rotated rows turned back."""
        return np.asarray(rows @ rotation(self.dim).T)

    def encode(self, rows: Float[np.ndarray, "rows dim"]) -> UInt8[np.ndarray, "rows width"]:
        """The codes of rows as they come, not rotated; their lengths may differ, and be zero."""
        out = np.empty((len(rows), self.width), dtype=np.uint8)
        lengths = np.linalg.norm(rows, axis=1)
        turned = self.rotated((rows / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32, copy=False))
        chosen = np.zeros(turned.shape, dtype=np.uint8)
        for border in self._borders:  # many times as fast as np.searchsorted, as there are few
            chosen += turned > border
        # The length that levels alone give differs from row to row.
        own = np.linalg.norm(self._levels[chosen], axis=1)
        out[:, :-_SCALE_BYTES] = self._packed(chosen)
        out[:, -_SCALE_BYTES:] = (lengths / own).astype("<f2")[:, None].view(np.uint8)
        return out

    def decode(self, codes: UInt8[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows dim"]:
        """The rows that the codes stand for, rotated."""
        scales = np.ascontiguousarray(codes[:, -_SCALE_BYTES:]).view("<f2").astype(np.float32)
        rows = self._of_byte[codes[:, :-_SCALE_BYTES]].view(np.float32)[:, : self.dim]
        rows *= scales
        return np.asarray(rows)

    def _packed(self, chosen: UInt8[np.ndarray, "rows dim"]) -> UInt8[np.ndarray, "rows bytes"]:
        each = 8 // self.bits
        padded = np.pad(chosen, ((0, 0), (0, -self.dim % each))).reshape(len(chosen), -1, each)
        return np.asarray(np.bitwise_or.reduce(padded << np.arange(0, 8, self.bits, dtype=np.uint8), axis=2))


@lru_cache(maxsize=8)
def rotation(dim: int) -> Float[np.ndarray, "dim dim"]:
    """A fixed orthonormal matrix that mixes all dimensions: random signs and a cosine transform, twice.

    It is made of a digest and of cosines, not of a library's random numbers, as it must never change: what was
    saved is read by it.
    """
    at = np.arange(dim)
    cosines = np.cos(np.pi * (at[:, None] + 0.5) * at[None, :] / dim) * np.sqrt(2 / dim)
    cosines[:, 0] *= np.sqrt(0.5)
    bits = np.frombuffer(hashlib.shake_256(b"gnomon token codes").digest(2 * dim), dtype=np.uint8) & 1
    signs = 1.0 - 2.0 * bits.reshape(2, dim)
    matrix = np.asarray((signs[0][:, None] * cosines) @ (signs[1][:, None] * cosines), dtype=np.float32)
    matrix.flags.writeable = False
    return matrix
