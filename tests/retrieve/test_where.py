"""Conditions as people type them, and errors that point at the column."""

from __future__ import annotations

import contextlib
from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.conditions import And, Comparison, Condition, Constant, Field, IsNull, Or
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve import Filter
from gnomon.retrieve.where import fields, from_mapping, negation, parse, to_condition

A = Field("a")


def number(value: float) -> Constant:
    return Constant("number", value)


def text(value: str) -> Constant:
    return Constant("text", value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("a = 1", Comparison(A, "=", (number(1),))),
        ("a != -1.5e3", Comparison(A, "=", (number(-1500.0),), negated=True)),
        ("a <> .5", Comparison(A, "=", (number(0.5),), negated=True)),
        ("a<='it''s'", Comparison(A, "<=", (text("it's"),))),
        ("a = TRUE", Comparison(A, "=", (Constant("truth", True),))),
        ("a LIKE 'x%'", Comparison(A, "like", (text("x%"),))),
        ("a not ilike 'x_'", Comparison(A, "ilike", (text("x_"),), negated=True)),
        ("a in (1, 'b', 1)", Comparison(A, "in", (number(1), text("b")))),
        ("a not in (false)", Comparison(A, "in", (Constant("truth", False),), negated=True)),
        ("a is null", IsNull(A)),
        ("a is not null", IsNull(A, negated=True)),
        ("not not a is null", IsNull(A)),
        ("id = 'x'", Comparison(Field("id", own=True), "=", (text("x"),))),
        ('"id" = 5', Comparison(Field("id"), "=", (number(5),))),
        ('"say ""no""" is null', IsNull(Field('say "no"'))),
        ("größe.in-cm = 1", Comparison(Field("größe.in-cm"), "=", (number(1),))),
        ("like = 1", Comparison(Field("like"), "=", (number(1),))),
    ],
)
def test_what_is_typed_is_what_is_meant(typed: str, meant: Condition) -> None:
    assert parse(typed) == meant


def test_and_binds_before_or_and_not_before_both() -> None:
    a, b, c = (IsNull(Field(name)) for name in "abc")
    assert parse("a is null or b is null and c is null") == Or((a, And((b, c))))
    assert parse("(a is null or b is null) and c is null") == And((Or((a, b)), c))
    assert parse("not a is null and b is null") == And((negation(a), b))
    assert parse("not (a is null and (b is null or c is null))") == Or((negation(a), And((negation(b), negation(c)))))
    assert parse("((a is null)) AND\n(b is null and c is null)") == And((a, b, c))


def test_1_and_true_are_two_conditions() -> None:
    assert parse("a = 1") != parse("a = true")


def test_fields_come_once_in_their_order() -> None:
    assert [field.name for field in fields(parse("b = 1 and (a = 2 or b is null)"))] == ["b", "a"]


@pytest.mark.parametrize(
    ("typed", "column", "message", "said"),
    [
        ("source lik 'docs/%'", 8, "not understood at lik", "like, in, is, not"),
        ("lang = en", 8, "not understood at en", "put texts in single quotes: 'en'"),
        ('lang = "en"', 8, 'not understood at "en', "put texts in single quotes: 'en'"),
        ("year == 2020", 7, "not understood at =", "write = once"),
        ("a = null", 5, "not understood at null", "write: field is null"),
        ("year >= 2020 and", 17, "ends too early", "a field, not, ("),
        ("(a = 1", 7, "ends too early", ")"),
        ("a = 1)", 6, "not understood at )", "the end"),
        ("a = 'x", 5, "a text without its closing quote", "a text in single quotes"),
        ("a > true", 3, "> with true", "= or != with true and false"),
        ("id = 5", 6, "id compared with 5", "a text in single quotes, as id is text"),
        ("a in ()", 7, "not understood at )", "a number"),
        ("a = 1e999", 5, "1e999 is too large", "a number of 64 bits"),
        ("a = 9223372036854775808", 5, "is too large", "a number of 64 bits"),
        ("2020 < year", 6, "not understood at <", "in, not"),
        ("a like 'x' b", 12, "not understood at b", "and, or, the end"),
        ("a like '" + "x" * 1001 + "'", 8, "a pattern of 1001 characters", "at most 1000"),
    ],
)
def test_an_error_points_at_the_column(typed: str, column: int, message: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(typed)
    error = caught.value
    first, shown, caret = error.message.split("\n")
    assert message in first
    assert first.endswith(f", column {column}")
    assert said in f"{error.expected}\n{error.hint}"
    at = caret.index("^")
    assert shown[at : at + 1] == typed[column - 1 : column]


def test_a_long_condition_is_shown_around_the_error() -> None:
    typed = " and ".join(f"field{n} = {n}" for n in range(40)) + " or or 1"
    with pytest.raises(InvalidInput) as caught:
        parse(typed)
    _, shown, caret = caught.value.message.split("\n")
    assert len(shown) <= 64
    assert shown.startswith("… ")
    assert shown[caret.index("^")] == "1"


def test_what_no_database_bears_is_refused_and_long_lists_are_not() -> None:
    with pytest.raises(InvalidInput, match="300 comparisons") as caught:
        parse(" or ".join(f"a = {n}" for n in range(300)))
    assert "field in ('a', 'b', …)" in caught.value.hint
    deep = "a = 1"
    for level in range(30):
        deep = f"({deep}) {'and' if level % 2 else 'or'} a = 1"
    with pytest.raises(InvalidInput, match="30 deep"):
        parse(deep)
    assert parse("(" * 5000 + "a = 1" + ")" * 5000) == parse("a = 1")
    condition = parse(f"a in ({', '.join(str(n) for n in range(5000))})")
    assert isinstance(condition, Comparison)
    assert len(condition.constants) == 5000


@pytest.mark.parametrize("typed", ["", "  \n", 7, "a = '\ud800'", "a = '\0'"])
def test_what_is_no_condition_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput):
        parse(typed)


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("ab '\"=<>!(),%_1.andornotinislikeu", max_size=30))
def test_any_text_is_a_condition_or_refused(typed: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert fields(parse(typed))


def test_a_filter_keeps_a_querys_own() -> None:
    asked: list[Query] = []

    def retriever(queries, *, k):
        asked.extend(queries)
        return [Ranking.empty() for _ in queries]

    allowed = np.array([2, 4, 6])
    Filter(retriever, allowed)([Query("a"), Query("b", np.array([1, 2, 6]))], k=3)
    assert asked[0].where is allowed
    assert asked[1].where is not None
    assert asked[1].where.tolist() == [2, 6]


def test_a_mapping_says_what_the_text_says() -> None:
    where = {
        "year": {">=": np.int64(2020), "<": 2030},
        "lang": "de",
        "tags": {"in": ["a", "b"]},
        "or": [{"id": {"not like": "old/%"}}, {"not": {"draft": np.bool_(True)}}],
        '"id"': None,
    }
    said = (
        "year >= 2020 and year < 2030 and lang = 'de' and tags in ('a', 'b') "
        "and (id not like 'old/%' or not draft = true) and \"id\" is null"
    )
    assert from_mapping(where) == to_condition(where) == to_condition(said) == to_condition(parse(said))


@pytest.mark.parametrize(
    ("where", "message", "said"),
    [
        ({}, "where: an empty mapping", "mapping of fields"),
        ({"year": {}}, "where['year']: an empty mapping", ">="),
        ({"year": {"=>": 2020}}, "where['year']: the operator '=>'", ">="),
        ({"year": [2020, 2021]}, "where['year']: [2020, 2021]", 'write {"in": […]}'),
        ({"year": {"in": []}}, "where['year']: in []", "at least one"),
        ({"year": {"in": [2020, None]}}, "where['year']: None", "a number"),
        ({"year": {"<": True}}, "where['year']: < with True", "= or !="),
        ({"year": 2**63}, f"where['year']: {2**63}", "64 bits"),
        ({"year": float("nan")}, "where['year']: nan", "64 bits"),
        ({"year": date(2020, 1, 31)}, "where['year']: datetime.date(2020, 1, 31)", "'2026-01-31'"),
        ({"title": {"like": 3}}, "where['title']: 3", "title is text"),
        ({"lang": {"like": 3}}, "where['lang']: like with 3", "a text"),
        ({"lang": "\ud800"}, "where['lang']: '\\ud800'", "a text"),
        ({"id": 3}, "where['id']: 3", "id is text"),
        ({3: 4}, "where[3]: the key 3", "name of a field"),
        ({"and": {"a": 1}}, "where['and']: {'a': 1}", "list of mappings"),
        ({"or": []}, "where['or']: []", "at least one"),
        ({"or": [{"a": 1}, {"b": {"~": 2}}]}, "where['or'][1]['b']: the operator '~'", "like"),
        ({"not": "a = 1"}, "where['not']: 'a = 1'", "a mapping"),
    ],
)
def test_an_error_in_a_mapping_names_its_entry(where: dict[str, Any], message: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        to_condition(where)
    assert refused.value.message == message
    assert said in refused.value.expected + refused.value.hint


def test_mappings_have_the_limits_of_texts() -> None:
    assert from_mapping({"a": {"in": list(range(1000))}}) == parse(f"a in ({', '.join(map(str, range(1000)))})")
    with pytest.raises(InvalidInput, match="201 comparisons"):
        from_mapping({"or": [{"a": number} for number in range(201)]})
    deep: dict[str, Any] = {"a": 1}
    for _ in range(10_000):
        deep = {"not": deep}
    with pytest.raises(InvalidInput, match="mappings deep"):
        from_mapping(deep)
