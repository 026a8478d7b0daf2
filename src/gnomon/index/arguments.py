"""The arguments of an index, checked, and filters as positions, cached by the array."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.core.errors import InvalidInput, InvalidVectors
from gnomon.core.similarity import normalise
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.index.rows import RowSnapshot


def checked_k(k: int) -> int:
    """`k` when it is at least 1. Raises InvalidInput."""
    if k < 1:
        raise InvalidInput(f"k is {k}", expected="at least 1", hint="ask for one result or more")
    return int(k)


def checked_ids(ids: Any) -> Int[np.ndarray, " items"]:
    """Ids as one int64 row. Raises InvalidInput for anything but whole numbers in one dimension."""
    array = np.asarray(ids)
    if array.size == 0:
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise InvalidInput(
            f"ids of shape {array.shape} and type {array.dtype}",
            expected="a one-dimensional array of whole numbers",
        )
    return array.astype(np.int64)


def checked_new(ids: Any, items: int) -> Int[np.ndarray, " items"]:
    """Ids for `items` new items: as many, and each once. Raises InvalidVectors."""
    array = checked_ids(ids)
    if len(array) != items:
        raise InvalidVectors(f"{len(array)} ids for {items} items", expected="one id an item")
    distinct = len(np.unique(array))
    if distinct != len(array):
        raise InvalidVectors(
            f"{len(array)} ids of which {len(array) - distinct} are repeated",
            expected="each id once in one call",
            hint="keep the last item of each id",
        )
    return array


def comparable(space: Space, vectors: Vectors) -> Float[np.ndarray, "rows dim"]:
    """The rows as this space compares them: for cosine each of length 1.

    Raises SpaceMismatch for another space, InvalidVectors for a zero vector in a cosine space.
    """
    space.require(vectors.space)
    return normalise(vectors.data) if space.similarity == "cosine" else vectors.data


_KEPT = 8

T = TypeVar("T")


class FilterCache(Generic[T]):
    """What was derived from the last few `where` arrays, by the array object and the state it was derived for.

    Only read-only arrays that own their data are cached, as they alone cannot change in between. Each is
    referenced, so that its `id` cannot become another's.
    """

    def __init__(self, make: Callable[[Int[np.ndarray, " ids"], Any], T]) -> None:
        self._make = make
        self._kept: OrderedDict[int, tuple[Any, Any, T]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, where: Any, state: Any) -> T:
        """`make(ids, state)`, now or earlier. Raises InvalidInput for anything but whole numbers."""
        with self._lock:
            known = self._kept.get(id(where))
            if known is not None and known[0] is where and known[1] is state:
                self._kept.move_to_end(id(where))
                return known[2]
        made = self._make(checked_ids(where), state)
        if isinstance(where, np.ndarray) and not where.flags.writeable and where.base is None:
            with self._lock:
                self._kept[id(where)] = (where, state, made)
                self._kept.move_to_end(id(where))
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
        return made


@dataclass(frozen=True, eq=False)
class AllowedItems:
    """The items of a snapshot that a filter allows: rising positions, among `total`."""

    positions: Int[np.ndarray, " allowed"]
    total: int

    @staticmethod
    def of(where: Int[np.ndarray, " ids"], rows: RowSnapshot) -> AllowedItems:
        """The live items whose ids are in `where`."""
        return AllowedItems(rows.positions(where), len(rows.ids))

    def __len__(self) -> int:
        return len(self.positions)

    @cached_property
    def mask(self) -> Bool[np.ndarray, " items"]:
        """Whether each item may be found."""
        mask = np.zeros(self.total, dtype=bool)
        mask[self.positions] = True
        return mask
