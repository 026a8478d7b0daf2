"""Token vectors in 2 to 4 bits a dimension: TurboQuant, Zandieh et al. 2025 (arXiv:2504.19874), by FAISS.

After a random rotation the coordinates of any vector of length 1 are distributed nearly alike, so that the best
levels to round them to are known beforehand. Nothing is learnt: codes never have to be made anew as a collection
grows, and do not depend on what else is in it.
"""

from __future__ import annotations

import hashlib
from functools import cached_property, lru_cache
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

from gnomon.core.errors import InvalidInput

Bits = Literal[2, 3, 4]
_SCALE_BYTES = 2


class TokenCodec:
    """A RowCodec of `bits` bits a dimension and a float16 a row, which gives a decoded row its length.

    Decoded rows are rotated, as `rotated` rotates: products with rotated queries are those of the vectors
    themselves. At 4 bits the cosine of a decoded row and its original is .995, at 3 .983, at 2 .94.
    Raises InvalidInput for other bits.
    """

    def __init__(self, dim: int, bits: Bits = 4) -> None:
        if bits not in get_args(Bits):
            raise InvalidInput(f"token codes of {bits} bits", expected="2, 3 or 4 bits a dimension")
        self.dim, self.bits = dim, bits

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
        if len(rows) == 0:
            return out
        lengths = np.linalg.norm(rows, axis=1)
        turned = self.rotated(rows / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32, copy=False)
        codes = self._quantizer.compute_codes(np.ascontiguousarray(turned))
        # The length that levels alone give differs from row to row.
        own = np.linalg.norm(self._quantizer.decode(codes), axis=1)
        scales = np.divide(lengths, own, out=np.zeros_like(lengths), where=own > 0)
        out[:, :-_SCALE_BYTES] = codes
        out[:, -_SCALE_BYTES:] = scales.astype("<f2")[:, None].view(np.uint8)
        return out

    def decode(self, codes: UInt8[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows dim"]:
        """The rows that the codes stand for, rotated."""
        if len(codes) == 0:
            return np.zeros((0, self.dim), dtype=np.float32)
        scales = np.ascontiguousarray(codes[:, -_SCALE_BYTES:]).view("<f2").astype(np.float32)
        rows = self._quantizer.decode(np.ascontiguousarray(codes[:, :-_SCALE_BYTES]))
        rows *= scales
        return np.asarray(rows)

    @cached_property
    def _quantizer(self) -> Any:
        import faiss

        library: Any = faiss  # its type stubs do not know this class
        kind = getattr(library.ScalarQuantizer, f"QT_{self.bits}bit_tqmse")
        quantizer = library.ScalarQuantizer(self.dim, kind)
        quantizer.train(np.zeros((1, self.dim), dtype=np.float32))  # sets up the levels; nothing is learnt
        return quantizer


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
