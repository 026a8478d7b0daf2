"""Conditions as SQL of a table: constants and names are data, whatever they hold."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.answer.tables.search import condition_sql
from gnomon.answer.tables.types import Column, TableInfo, quote_name
from gnomon.core.conditions import And, Comparison, Constant, Field
from gnomon.retrieve.where import from_mapping

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
HOSTILE = TEXTS | st.text("'\"%?:;-*[]_\\ \n)(", max_size=12)


def matches(condition, columns, rows):
    """The numbers of the rows of a table of these columns that meet the condition, by one statement."""
    info = TableInfo("t", "", "sqlite", tuple(Column(name, kind) for name, kind in columns.items()), len(rows))
    connection = sqlite3.connect(":memory:")
    connection.execute(f"CREATE TABLE t ({', '.join(map(quote_name, columns))})")
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(columns))})", rows)
    found = connection.execute(f"SELECT rowid FROM t WHERE {condition_sql(condition, info)} ORDER BY rowid")
    return [number for (number,) in found]


@given(st.lists(HOSTILE, min_size=1, max_size=6), st.data())
def test_a_text_is_only_compared(cells, data):
    wanted = data.draw(st.sampled_from(cells))
    rows = [(cell,) for cell in cells]
    equal = [at for at, cell in enumerate(cells, start=1) if cell == wanted]
    others = [at for at in range(1, len(cells) + 1) if at not in equal]
    assert matches(from_mapping({"name": wanted}), {"name": "text"}, rows) == equal
    either = [at for at, cell in enumerate(cells, start=1) if cell in (wanted, wanted + "x")]
    assert matches(from_mapping({"name": {"in": [wanted, wanted + "x"]}}), {"name": "text"}, rows) == either
    assert matches(from_mapping({"name": {"!=": wanted}}), {"name": "text"}, rows) == others
    greater = [at for at, cell in enumerate(cells, start=1) if cell.encode() > wanted.encode()]
    assert matches(from_mapping({"name": {">": wanted}}), {"name": "text"}, rows) == greater


@given(HOSTILE.filter(str.strip), HOSTILE)
def test_a_column_of_any_name_is_only_a_column(name, value):
    condition = And((Comparison(Field(name.upper()), "=", (Constant("text", value),)),))
    column = name if name.casefold() == name.upper().casefold() else name.upper()
    assert matches(condition, {column: "text"}, [(value,), (value + "x",)]) == [1]


@pytest.mark.parametrize("pattern", ["'; DROP TABLE t; --%", "%'", "_'_", "100%"])
def test_a_pattern_is_only_a_pattern(pattern):
    literally = pattern.replace("%", "").replace("_", "x")
    assert matches(from_mapping({"name": {"like": pattern}}), {"name": "text"}, [(literally,), ("a",)]) == [1]


@given(st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_same_number(value):
    assert matches(from_mapping({"n": value}), {"n": "real"}, [(value,), (None,), ("x",)]) == [1]


def test_a_cell_fits_constants_of_its_own_kind():
    columns = {"code": "text", "paid": "truth"}
    rows = [("007", 1), (7, 0), (None, None), ("", 1)]
    assert matches(from_mapping({"code": "007"}), columns, rows) == [1]
    assert matches(from_mapping({"code": 7}), columns, rows) == [2]
    assert matches(from_mapping({"code": None}), columns, rows) == [3, 4]
    assert matches(from_mapping({"code": {"!=": None}}), columns, rows) == [1, 2]
    assert matches(from_mapping({"paid": True}), columns, rows) == [1, 4]
    assert matches(from_mapping({"not": {"paid": True}}), columns, rows) == [2]
    assert matches(from_mapping({"code": True}), columns, rows) == []
    assert matches(from_mapping({"nothing": 1}), columns, rows) == []
