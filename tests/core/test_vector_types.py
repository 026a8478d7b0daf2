"""Vectors in smaller types: what is kept, what is not, and the spaces they live in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.space import Space
from gnomon.core.vector_types import (
    from_bytes,
    from_short_bytes,
    narrow,
    record_type,
    require_vector_type,
    rounding,
    to_bytes,
    to_short_bytes,
)
from gnomon.core.vectors import Vectors

KINDS = ("float32", "float16", "int8", "binary")
ROWS = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=st.floats(-60, 60, width=16))


@pytest.mark.parametrize("kind", KINDS)
@given(rows=ROWS)
def test_what_was_rounded_once_stays_as_it_is(kind, rows):
    once = rounding(kind)(rows)
    assert once.dtype == np.float32
    if kind != "binary":  # all of one size: the mean may round
        np.testing.assert_array_equal(rounding(kind)(once), once)
    np.testing.assert_allclose(rounding(kind)(once), once, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@given(rows=ROWS)
def test_bytes_and_back(kind, rows):
    dim = rows.shape[1]
    stored = to_bytes(rows, kind)
    assert {len(each) for each in stored} == {record_type(kind, dim).itemsize}
    np.testing.assert_array_equal(from_bytes(stored, kind, dim), rounding(kind)(rows))


FLOATS = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=st.floats(width=32))


@given(rows=FLOATS)
def test_half_precision_only_where_it_keeps_the_row(rows):
    stored, dim = to_short_bytes(rows), rows.shape[1]
    for row, data, back in zip(rows, stored, from_short_bytes(stored, dim), strict=True):
        if len(data) == 4 * dim:
            np.testing.assert_array_equal(back, row)
        else:
            assert len(data) == 2 * dim
            error = np.linalg.norm(back.astype(float) - row)
            assert error <= 2**-11 * (1 + 1e-9) * np.linalg.norm(row.astype(float))
            assert to_short_bytes(back[None]) == [data]


@pytest.mark.parametrize(
    ("row", "size"),
    [
        ([0.5, -0.25, 0.125], 2),
        ([1.0, 1e-9, 0.0], 2),  # what is lost of it is nothing beside its length
        ([0.0, 0.0, 0.0], 2),
        ([7e4, 1.0, 1.0], 4),  # beyond its range
        ([3e38, 3e38, 3e38], 4),
        ([1e-7, 2e-7, 3e-7], 4),  # its direction would be lost
        ([1e-30, 0.0, 0.0], 4),
        ([np.nan, 1.0, 1.0], 4),
    ],
)
def test_rows_that_half_precision_would_change_stay_whole(row, size):
    rows = np.array([[0.5, 0.5, 0.5], row], np.float32)
    stored = to_short_bytes(rows)
    assert [len(each) for each in stored] == [6, 3 * size]
    np.testing.assert_allclose(from_short_bytes(stored, 3), rows, rtol=2**-11, atol=1e-8)
    assert [len(each) for each in from_short_bytes([b"", stored[0][:-1], *stored, stored[0] * 3], 3)][2:4] == [3, 3]


@pytest.mark.parametrize(("kind", "error"), [("float16", 2**-11), ("int8", 1 / 254 + 2**-15)])
@given(rows=ROWS)
def test_how_far_a_number_may_move(kind, error, rows):
    reach = np.abs(rows) if kind == "float16" else np.abs(rows).max(axis=1, keepdims=True)
    assert (np.abs(rounding(kind)(rows) - rows) <= error * reach + 1e-7).all()


def test_binary_keeps_the_signs_and_the_mean_size():
    np.testing.assert_allclose(
        rounding("binary")(np.array([[1.0, -3.0, 0.0]], np.float32)), [[4 / 3, -4 / 3, -4 / 3]], 1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_of_another_length_are_no_vector(kind):
    good = to_bytes(np.ones((2, 9), np.float32), kind)
    found = from_bytes([good[0][:-1], good[1], b""], kind, 9)
    assert [len(each) == 9 for each in found] == [False, True, False]


def test_sizes():
    sizes = [record_type(kind, 384).itemsize for kind in KINDS]
    assert sizes == [1536, 768, 388, 52]
    assert narrow(np.zeros((2, 384), np.float32), "int8").nbytes == 776


def space():
    return Space("ab" * 32, 16, "cosine", "float", "tiny")


def test_a_stored_type_is_a_space_of_its_own_with_a_parent():
    full = space()
    small = full.stored_as("int8")
    assert small != full
    assert (small.parent, small.dim, small.vector_type) == (full.fingerprint, 16, "int8")
    assert small != full.stored_as("binary")
    assert full.truncate(8).stored_as("int8").parent == full.fingerprint
    assert full.truncate(8).stored_as("int8") not in (small, full.truncate(8))
    assert full.stored_as("float32") is full
    assert Space.from_json(small.to_json()) == small
    assert Space.from_json(small.to_json()).vector_type == "int8"
    assert "vector_type" not in full.to_json()
    assert "int8" in small.short
    with pytest.raises(SpaceMismatch, match="stored as int8"):
        Vectors(np.ones((1, 16), np.float32), full).similarity(Vectors(np.ones((1, 16), np.float32), small))


def test_what_cannot_be():
    with pytest.raises(InvalidInput, match="the vector type 'int4'"):
        require_vector_type("int4")
    with pytest.raises(InvalidInput, match="stored as binary"):
        space().stored_as("int8").stored_as("binary")
    with pytest.raises(InvalidInput, match="truncation"):
        space().stored_as("int8").truncate(4)
    with pytest.raises(InvalidInput):
        Space("ab" * 32, 16, "maxsim", "float", "late").stored_as("int8")
