"""Sequences in blocks of a fixed size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeVar

Sliced = TypeVar("Sliced", bound="_Sliceable")


class _Sliceable(Protocol):
    def __len__(self) -> int: ...

    def __getitem__(self: Sliced, index: slice, /) -> Sliced: ...


def in_blocks(values: Sliced, size: int) -> Iterator[Sliced]:
    """Slices of at most `size` values, in order: of a list, a tuple, a string or an array alike.

    >>> list(in_blocks([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    for start in range(0, len(values), size):
        yield values[start : start + size]
