"""Vectors that know their space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, InvalidVectors
from gnomon.core.similarity import maxsim, normalise, pairwise_scores
from gnomon.core.space import Space

Positions = int | slice | Sequence[int] | Sequence[bool] | np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Vectors:
    """Rows of one space. `len()` counts items: rows, or groups of rows where `starts` is given.

    `data` is float32, one row a vector. `starts` holds the first row of each multi-vector item
    (similarity "maxsim"); item i owns rows starts[i] to starts[i+1]. The array is made read-only.
    Raises InvalidVectors for another number of dimensions and for NaN or infinite values.

    `vectors[2]`, `vectors[10:20]`, `vectors[[4, 1]]` and `vectors[mask]` are Vectors of the same space, and
    iteration gives one item at a time. `np.asarray(vectors)` is `data`, of shape (rows, dim).
    """

    data: Float[np.ndarray, "rows dim"]
    space: Space
    starts: Int[np.ndarray, " items"] | None = None

    def __post_init__(self) -> None:
        data: np.ndarray[Any, np.dtype[Any]] = np.ascontiguousarray(self.data, dtype=np.float32).view()
        if data.ndim != 2 or data.shape[1] != self.space.dim:
            raise InvalidVectors(
                f"an array of shape {tuple(data.shape)}",
                expected=f"shape (rows, {self.space.dim}) for {self.space.short}",
            )
        if not np.isfinite(data).all():
            bad = int((~np.isfinite(data).all(axis=1)).sum())
            raise InvalidVectors(
                f"{bad} of {len(data)} vectors hold NaN or infinite values",
                expected="finite values",
                hint="look at the encoder's input and weights; such vectors cannot be compared",
            )
        data.flags.writeable = False
        object.__setattr__(self, "data", data)
        if (self.starts is None) == (self.space.similarity == "maxsim"):
            raise InvalidInput(
                f"{'no ' if self.starts is None else ''}starts where similarity is {self.space.similarity}",
                expected="`starts` for multi-vector spaces (maxsim) and for no other",
            )
        if self.starts is not None:
            object.__setattr__(self, "starts", _checked_starts(self.starts, len(data)))

    def __len__(self) -> int:
        return len(self.data) if self.starts is None else len(self.starts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __iter__(self) -> Iterator[Vectors]:
        return (self[at] for at in range(len(self)))

    def __getitem__(self, items: Positions) -> Vectors:
        """The items at a position, a slice, several positions or where a mask is true; in that order.

        Raises IndexError for a position that is not there, InvalidInput for a mask of another length and for
        anything that is no position.
        """
        if isinstance(items, slice):
            if self.starts is None:
                return Vectors(self.data[items], self.space)
            return self.take(np.arange(len(self))[items])
        positions = np.asarray(items)
        if positions.dtype == bool:
            if positions.shape != (len(self),):
                raise InvalidInput(
                    f"a mask of shape {positions.shape} over {len(self)} vectors", expected=f"shape ({len(self)},)"
                )
            return self.take(np.flatnonzero(positions))
        return self.take(np.atleast_1d(positions))

    def similarity(self, other: Vectors) -> Float[np.ndarray, "items others"]:
        """The space's similarity of every item with every one of `other`, higher is nearer.

        Cosine and dot product, the negative distance for euclidean, and MaxSim for multi-vector items, these
        as the queries. A zero vector's cosine is 0. Raises SpaceMismatch for vectors of another space.
        """
        self.space.require(other.space)
        if self.starts is not None and other.starts is not None:
            scores = [maxsim(item.data, other.data, other.starts) for item in self]
            return np.array(scores, dtype=np.float32).reshape(len(self), len(other))
        left, right = self.data, other.data
        if self.space.similarity == "cosine":
            left, right = normalise(left, allow_zero=True), normalise(right, allow_zero=True)
        return pairwise_scores(left, right, similarity=self.space.similarity)

    def take(self, items: Sequence[int] | np.ndarray[Any, Any]) -> Vectors:
        """The items at these positions, in this order. Raises InvalidInput for a mask or fractions."""
        positions = np.asarray(items)
        if positions.ndim != 1 or (positions.size and positions.dtype.kind not in "iu"):
            raise InvalidInput(
                f"positions of shape {positions.shape} and type {positions.dtype}",
                expected="whole numbers in one dimension",
                hint="np.flatnonzero(mask)",
            )
        wanted = positions.astype(np.int64)
        if self.starts is None:
            return Vectors(self.data[wanted], self.space)
        ends = np.append(self.starts[1:], len(self.data))
        rows = [np.arange(self.starts[i], ends[i]) for i in wanted]
        lengths = np.array([len(r) for r in rows], dtype=np.int64)
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(rows) else lengths
        flat = np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)
        return Vectors(self.data[flat], self.space, starts)

    def pooled(self) -> Float[np.ndarray, "items dim"]:
        """One row an item: the mean of its rows, where it has several. For what compares items by one vector each."""
        if self.starts is None:
            return self.data
        if len(self.starts) == 0:
            return self.data[:0]
        lengths = np.diff(np.append(self.starts, len(self.data)))
        return np.asarray(np.add.reduceat(self.data, self.starts, axis=0) / lengths[:, None].astype(np.float32))

    @staticmethod
    def of_items(items: Sequence[np.ndarray[Any, Any]], space: Space) -> Vectors:
        """Items one after another: arrays [dim] each, or [rows, dim] where the space has several vectors an item."""
        empty = np.zeros((0, space.dim), dtype=np.float32)
        if space.similarity != "maxsim":
            return Vectors(np.stack(items) if len(items) else empty, space)
        lengths = np.array([len(item) for item in items], dtype=np.int64)
        return Vectors(np.concatenate([empty, *items]), space, np.cumsum(lengths) - lengths)

    def truncate(self, dim: int) -> Vectors:
        """The first `dim` dimensions, normalised again for cosine, in a space of its own."""
        space = self.space.truncate(dim)
        if space == self.space:
            return self
        data = self.data[:, :dim]
        if self.space.similarity in ("cosine", "maxsim"):
            if not (norms := np.linalg.norm(data, axis=1)).all():
                raise InvalidVectors(
                    f"{int((norms == 0).sum())} vectors are zero in their first {dim} dimensions",
                    expected="vectors with a direction",
                    hint="truncate to more dimensions",
                )
            data = normalise(data)
        return Vectors(data, space, self.starts)

    @staticmethod
    def concatenate(parts: Sequence[Vectors]) -> Vectors:
        """All items of all parts, in order. Raises SpaceMismatch unless the parts share one space."""
        if not parts:
            raise InvalidInput("no vectors to concatenate", expected="at least one part")
        space = parts[0].space
        for part in parts[1:]:
            space.require(part.space)
        data = np.concatenate([part.data for part in parts])
        if space.similarity != "maxsim":
            return Vectors(data, space)
        offsets = np.cumsum([0] + [len(part.data) for part in parts[:-1]])
        starts = [part.starts + at for part, at in zip(parts, offsets, strict=True) if part.starts is not None]
        return Vectors(data, space, np.concatenate(starts))


def _checked_starts(starts: np.ndarray[Any, Any], rows: int) -> np.ndarray[Any, Any]:
    checked: np.ndarray[Any, Any] = np.ascontiguousarray(starts, dtype=np.int64).view()
    ends = np.append(checked[1:], rows)
    empty = (len(checked) == 0) != (rows == 0)
    if empty or (len(checked) and (checked[0] != 0 or (np.diff(checked) <= 0).any() or ends[-1] <= checked[-1])):
        raise InvalidVectors(
            f"starts {checked[:5].tolist()}… over {rows} rows",
            expected="starts at 0, strictly rising, each item with at least one row",
        )
    checked.flags.writeable = False
    return checked
