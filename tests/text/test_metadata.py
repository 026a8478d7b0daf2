"""What metadata is stored as: plain JSON, whatever Python objects it is given as."""

from __future__ import annotations

import datetime as dt
import enum
import json
import uuid
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.text.metadata import DEEPEST, plain_metadata
from gnomon.text.readers.jsonl import read_jsonl
from gnomon.text.settings import ReadSettings


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


VALUES: list[tuple[Any, Any]] = [
    (np.int64(2021), 2021),
    (np.float32(0.5), 0.5),
    (np.bool_(True), True),
    (np.str_("a"), "a"),
    (np.array(["x", "y"]), ["x", "y"]),
    (np.array(3), 3),
    (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (np.array([np.int8(1), None, "a"], dtype=object), [1, None, "a"]),
    (np.datetime64("2021-05-01"), "2021-05-01"),
    (np.datetime64("2021-05-01T10:00:00", "ns"), "2021-05-01T10:00:00"),
    (np.array(["2021-05-01", "NaT"], dtype="datetime64[D]"), ["2021-05-01", None]),
    (dt.date(2021, 5, 1), "2021-05-01"),
    (dt.datetime(2021, 5, 1, 10), "2021-05-01T10:00:00"),
    (dt.datetime(2021, 5, 1, 10, tzinfo=dt.timezone(dt.timedelta(hours=2))), "2021-05-01T08:00:00Z"),
    (dt.time(10, 30), "10:30:00"),
    (Decimal("12.50"), 12.5),
    (Decimal("9"), 9),
    (Decimal("NaN"), None),
    ({"q", "p"}, ["p", "q"]),
    (("a", 1), ["a", 1]),
    (Colour.RED, "red"),
    (Level.HIGH, 3),
    (Path("a/b"), "a/b"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (b"ab", "ab"),
    (float("nan"), None),
    (float("inf"), None),
    ("cut \ud83d\x00", "cut \ufffd"),
    (2**70, 2**70),
    ([], []),
    ({}, None),
]


@pytest.mark.parametrize(("given", "stored"), VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_stored_as_json_has_it(given: Any, stored: Any) -> None:
    found = plain_metadata({"x": given})["x"]
    assert (found, type(found)) == (stored, type(stored))


def test_mappings_become_dotted_names() -> None:
    given = {"a": {"b": 1, "c": {"d": [1, 2]}}, "rows": [{"k": 1}, {"k": [2, 3]}, "loose"], 2020: {True: "x"}}
    assert plain_metadata(given) == {
        "a.b": 1,
        "a.c.d": [1, 2],
        "rows.k": [1, 2, 3],
        "rows": ["loose"],
        "2020.true": "x",
    }
    assert plain_metadata({"a.b": 1, "a": {"b": 2}}) == {"a.b": [1, 2]}


@pytest.mark.parametrize(
    "value", [object(), 1j, lambda: 0, b"\xff", 2**2000, dt.timedelta(1), {("a",): 1}], ids=lambda v: type(v).__name__
)
def test_what_json_does_not_hold_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidInput, match="metadata"):
        plain_metadata({"fine": 1, "odd": value})
    errors: list[InvalidInput] = []
    assert plain_metadata({"fine": 1, "odd": value}, left_out=errors.append) == {"fine": 1}
    assert len(errors) == 1


def test_deep_nesting_is_linear_and_bounded() -> None:
    maps = reduce(lambda inner, _: {"k": inner}, range(40), 1)
    assert list(plain_metadata({"a": maps})) == ["a" + ".k" * 40]
    for deep in ([], {}):
        value: Any = deep
        for _ in range(DEEPEST + 1):
            value = [value] if isinstance(deep, list) else {"k": value}
        with pytest.raises(InvalidInput, match="nested more than 64 deep"):
            plain_metadata({"a": value})


def test_a_row_nested_too_deep_loses_that_field_only(tmp_path: Path) -> None:
    from gnomon.text.discover import discover
    from gnomon.text.read import read

    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one", "deep": ' + "[" * 300 + "]" * 300 + ', "year": 2020}\n{"text": "two"}\n')
    reports: list[str] = []
    (found,) = discover([path], settings=ReadSettings())
    rows = list(read(found, settings=ReadSettings(), report=reports.append))
    assert [row.metadata for row in rows] == [{"year": 2020}, {}]
    assert reports == [f"{path}, row 1: metadata['deep'] is nested more than 64 deep; the field is left out"]
    assert len(list(read_jsonl(path, ReadSettings(), reports.append))) == 2


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.datetimes() | st.decimals(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), anything))
def test_whatever_is_kept_is_plain_and_stays_as_it_is(metadata: dict[str, Any]) -> None:
    plain = plain_metadata(metadata)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain_metadata(plain) == plain
