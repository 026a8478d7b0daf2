"""Sparse vectors that know their space: of each row only the values that are not zero."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, InvalidVectors
from gnomon.core.space import Space


@dataclass(frozen=True, eq=False)
class SparseVectors:
    """Compressed sparse rows of one space, compared by their dot product.

    Row i has the values `data[indptr[i]:indptr[i + 1]]` in the dimensions `indices[indptr[i]:indptr[i + 1]]`, which
    rise. A row may be empty: it is similar to nothing. Arrays are made read-only: float32, int32 and int64.
    Raises InvalidVectors for arrays that do not fit each other or the space, and for NaN or infinite values.
    """

    data: Float[np.ndarray, " values"]
    indices: Int[np.ndarray, " values"]
    indptr: Int[np.ndarray, " rows+1"]
    space: Space

    def __post_init__(self) -> None:
        for name, dtype in (("data", np.float32), ("indices", np.int32), ("indptr", np.int64)):
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.space.similarity != "dot":
            raise InvalidInput(f"sparse vectors of {self.space.short}", expected="a space of similarity dot")
        _check_rows(self.data, self.indices, self.indptr, dim=self.space.dim)

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __iter__(self) -> Iterator[SparseVectors]:
        return (self.take([at]) for at in range(len(self)))

    @property
    def active(self) -> Int[np.ndarray, " rows"]:
        """How many values each row has."""
        return np.diff(self.indptr)

    @property
    def row_numbers(self) -> Int[np.ndarray, " values"]:
        """The row of each value."""
        return np.repeat(np.arange(len(self)), self.active)

    def row(self, at: int) -> tuple[Int[np.ndarray, " _"], Float[np.ndarray, " _"]]:
        """Dimensions and values of a row."""
        span = slice(int(self.indptr[at]), int(self.indptr[at + 1]))
        return self.indices[span], self.data[span]

    def take(self, items: Sequence[int] | np.ndarray[Any, Any]) -> SparseVectors:
        """The rows at these positions, in this order."""
        rows = [self.row(int(at)) for at in np.asarray(items, dtype=np.int64)]
        return SparseVectors.of(rows, self.space)

    def to_dense(self) -> Float[np.ndarray, "rows dim"]:
        """The same with all the zeros: `rows` x `space.dim` float32 values."""
        dense = np.zeros((len(self), self.space.dim), dtype=np.float32)
        dense[self.row_numbers, self.indices] = self.data
        return dense

    def similarity(self, other: SparseVectors) -> Float[np.ndarray, "rows others"]:
        """The dot product of every row with every one of `other`. Raises SpaceMismatch for another space."""
        self.space.require(other.space)
        scores = np.zeros((len(self), len(other)), dtype=np.float32)
        owners = other.row_numbers
        for at, into in enumerate(scores):
            query = np.zeros(self.space.dim, dtype=np.float32)
            dimensions, values = self.row(at)
            query[dimensions] = values
            into[:] = np.bincount(owners, weights=query[other.indices] * other.data, minlength=len(other))
        return scores

    @staticmethod
    def of(rows: Sequence[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]], space: Space) -> SparseVectors:
        """From the rising dimensions and the values of each row."""
        lengths = np.array([len(dimensions) for dimensions, _ in rows], dtype=np.int64)
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        indices = np.concatenate([row for row, _ in rows] or [np.zeros(0, np.int32)])
        data = np.concatenate([values for _, values in rows] or [np.zeros(0, np.float32)])
        return SparseVectors(data, indices, indptr, space)

    @staticmethod
    def from_dense(dense: Float[np.ndarray, "rows dim"], space: Space) -> SparseVectors:
        """The values of a dense array that are not zero. Raises InvalidVectors for another width than the space's."""
        if dense.ndim != 2 or dense.shape[1] != space.dim:
            raise InvalidVectors(f"an array of shape {dense.shape}", expected=f"shape (rows, {space.dim})")
        rows, indices = np.nonzero(dense)
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(dense)))])
        return SparseVectors(dense[rows, indices], indices.astype(np.int32), indptr, space)

    @staticmethod
    def concatenate(parts: Sequence[SparseVectors]) -> SparseVectors:
        """All rows of all parts, in order. Raises SpaceMismatch unless the parts share one space."""
        if not parts:
            raise InvalidInput("no vectors to concatenate", expected="at least one part")
        space = parts[0].space
        for part in parts[1:]:
            space.require(part.space)
        lengths = np.concatenate([part.active for part in parts])
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        indices, data = (np.concatenate([getattr(part, name) for part in parts]) for name in ("indices", "data"))
        return SparseVectors(data, indices, indptr, space)


def _check_rows(
    data: np.ndarray[Any, Any], indices: np.ndarray[Any, Any], indptr: np.ndarray[Any, Any], *, dim: int
) -> None:
    whole = indptr.ndim == 1 and len(indptr) > 0 and indptr[0] == 0 and not (np.diff(indptr) < 0).any()
    if not whole or data.ndim != 1 or data.shape != indices.shape or len(data) != indptr[-1]:
        raise InvalidVectors(
            f"data of shape {data.shape}, indices of shape {indices.shape}, indptr of shape {indptr.shape}",
            expected="as many indices as data, and where each row begins and ends among them, rising from 0",
        )
    rises = np.diff(indices) > 0
    rises[indptr[1:-1][(indptr[1:-1] > 0) & (indptr[1:-1] < len(data))] - 1] = True  # from a row to the next
    if not rises.all() or (len(indices) and (indices.min() < 0 or indices.max() >= dim)):
        raise InvalidVectors(
            "dimensions that do not rise within a row, or are not of the space",
            expected=f"0 to {dim - 1}, each once in a row, rising",
        )
    if not np.isfinite(data).all():
        raise InvalidVectors(
            f"{int((~np.isfinite(data)).sum())} NaN or infinite values",
            expected="finite values",
            hint="look at the encoder's input and weights; such vectors cannot be compared",
        )
