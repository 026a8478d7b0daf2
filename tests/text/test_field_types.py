"""Types of fields: which texts are numbers and dates, and how values are converted."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.text.field_types import FIELD_TYPES, NotConvertible, column_types, convert, convert_all, iso_prefix, type_of
from gnomon.text.metadata import iso_date


@pytest.mark.parametrize(
    ("column", "of"),
    [
        (["1", "", "-2.50", "1e-05"], "number"),
        (["2023", "2024"], "number"),
        (["2023-01-01", "2024-12-31T10:00"], "date"),
        (["true", "FALSE"], "boolean"),
        (["1", "n/a"], "text"),
        (["00123", "12345"], "text"),
        (["12345678901234567890"], "text"),
        (["+49 30"], "text"),
        (["1,5"], "text"),
        (["2023-02-30"], "text"),
        (["2023-01", "2023-02"], "text"),
        (["yes", "no"], "text"),
        (["", ""], "text"),
        (["1", "true"], "text"),
    ],
)
def test_a_column_has_a_type_that_all_its_values_have(column: list[str], of: str) -> None:
    assert column_types([[value] for value in column]) == [of]


def test_rows_of_different_lengths() -> None:
    assert column_types([["1"], ["2", "x"], [], ["3", "", "2023-01-01"]]) == ["number", "text", "date"]


@pytest.mark.parametrize(
    ("given", "to", "expected"),
    [
        ("2023", "number", 2023),
        (" 4.50 ", "number", 4.5),
        (True, "number", None),
        ("00123", "number", None),
        ("TRUE", "boolean", True),
        (1, "boolean", None),
        (4.5, "text", "4.5"),
        (True, "text", "true"),
        ("2023", "date", "2023"),
        ("2023-04-01 10:00", "date", "2023-04-01T10:00:00"),
        ("2023-04-01T10:00:00.250-02:00", "date", "2023-04-01T12:00:00.25Z"),
        ("2023-04-01T10:00Z", "date", "2023-04-01T10:00:00Z"),
        ("1.4.2023", "date", None),
        (2023, "date", None),
    ],
)
def test_a_value_is_converted_or_refused(given: Any, to: Any, expected: Any) -> None:
    if expected is None:
        with pytest.raises(NotConvertible):
            convert(given, to)
        assert convert_all([given, None], to) == ([given, None], [given])
    else:
        found = convert(given, to)
        assert (found, type(found)) == (expected, type(expected))


values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
stamps = st.datetimes().map(iso_date) | st.dates().map(iso_date)


@given(values | stamps, st.sampled_from(FIELD_TYPES))
def test_what_was_converted_is_of_the_type_and_stays(value: Any, to: Any) -> None:
    try:
        once = convert(value, to)
    except NotConvertible:
        return
    assert once is None or type_of(once) == to or (to == "text" and type_of(once) == "date") or len(once) < 10
    assert convert(once, to) == once


@given(st.datetimes(timezones=st.just(dt.UTC)), st.integers(-12, 12))
def test_a_moment_is_the_same_text_in_every_zone(moment: dt.datetime, hours: int) -> None:
    try:
        elsewhere = moment.astimezone(dt.timezone(dt.timedelta(hours=hours)))
    except OverflowError:
        return
    assert convert(elsewhere.isoformat(), "date") == convert(moment.isoformat(), "date")


def test_a_date_is_as_exact_as_it_is_written() -> None:
    assert [iso_prefix(text) for text in ("2026", "2026-01", "2026-01-31", "2026-01-31 10:00")] == [
        "2026",
        "2026-01",
        "2026-01-31",
        "2026-01-31T10:00",
    ]
    for text in ("", "26", "2026-13", "2026-00", "2026-01-32", "2026-01-01T25:00", "2026-1-1", "٢٠٢٦-٠١-٠١", "0000"):
        assert iso_prefix(text) is None
