"""Blocks hold everything once, in order, and are of the kind that was cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.batching import in_blocks


@given(st.lists(st.integers()), st.integers(1, 7))
def test_blocks_joined_are_what_was_cut(values: list[int], size: int) -> None:
    blocks = list(in_blocks(values, size))
    assert [value for block in blocks for value in block] == values
    assert all(len(block) == size for block in blocks[:-1])
    assert all(1 <= len(block) <= size for block in blocks)


def test_blocks_are_of_the_kind_that_was_cut() -> None:
    assert list(in_blocks("abcde", 2)) == ["ab", "cd", "e"]
    assert list(in_blocks((1, 2, 3), 2)) == [(1, 2), (3,)]
    rows = np.arange(6).reshape(3, 2)
    blocks = list(in_blocks(rows, 2))
    assert [block.tolist() for block in blocks] == [[[0, 1], [2, 3]], [[4, 5]]]
    assert all(np.shares_memory(block, rows) for block in blocks)


def test_nothing_has_no_blocks() -> None:
    assert list(in_blocks([], 3)) == []
