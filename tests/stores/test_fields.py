"""Conditions in the terms of engines: what they find is what the catalog finds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gnomon
from gnomon.collection import Collection
from gnomon.core.conditions import OWN, And, Comparison, Condition, Constant, Field, IsNull, Or
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import parse
from gnomon.stores.fields import IndexedFields, Order, bound_columns, indexed, translated, write
from gnomon.testing.toys import HashEncoder
from gnomon.text.field_types import FIELD_TYPES, iso_prefix
from support.metadata import drawn_metadata

ODD = 'an "odd" näme, ["x"]'
VALUES: dict[str, list[Any]] = {
    "year": [2019, 2020, 2020.0, 0.5, -3, 2**53 + 1, 2**53, "2021", "n/a", None],
    "lang": ["en", "de", "En", "Über", "", "o'k", "2020", 'a","b', "is", "long " * 80, 7, None],
    "done": [True, False, "true", "maybe", None],
    ODD: ["2019-05-01", "2020-01-31T10:00:00", "2020-01-31", "2020", "2020-02-29T23:59:59.5Z", "soon", None],
}
KINDS = {str: "text", bool: "truth", int: "number", float: "number"}


def documents(count: int) -> list[Document]:
    rng = random.Random(0)
    made = []
    for n in range(count):
        metadata = drawn_metadata(rng, VALUES, lists=0.4)
        made.append(Document(f"docs/{n}.md", "tea", rng.choice(["", "Tea", "Whales"]), metadata=metadata))
    return made


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with gnomon.open(tmp_path_factory.mktemp("kb"), encoder=HashEncoder(16)) as opened:
        opened.add(documents(80))
        yield opened


class Met:
    """Whether what is kept of one document meets a filter."""

    def __init__(self, kept: IndexedFields) -> None:
        self.terms, self.bounds = set(kept.terms), kept.bounds

    def any_of(self, terms: Sequence[str]) -> bool:
        return bool(self.terms & set(terms))

    def none_of(self, terms: Sequence[str]) -> bool:
        return not self.terms & set(terms)

    def bound(self, column: str, order: Order, *, value: float) -> bool:
        number = self.bounds.get(column)
        compared = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}
        return number is not None and compared[order](number, value)

    def all_of(self, parts: Sequence[bool]) -> bool:
        return all(parts)

    def one_of(self, parts: Sequence[bool]) -> bool:
        return any(parts)


def constant(value: Any) -> Constant:
    return Constant(KINDS[type(value)], value)


def comparison(field: str, operator: Any, values: list[Any], negated: bool) -> Comparison:
    return Comparison(Field(field, own=field in OWN), operator, tuple(map(constant, values)), negated)


def as_dates(condition: Condition) -> Condition:
    """Texts that are compared with dates as dates, as the collection makes of them."""
    if isinstance(condition, And | Or):
        return replace(condition, parts=tuple(map(as_dates, condition.parts)))
    if isinstance(condition, IsNull) or condition.field.name != ODD:
        return condition
    written = [iso_prefix(str(each.value)) for each in condition.constants]
    dates = zip(condition.constants, written, strict=True)
    return replace(
        condition, constants=tuple(c if w is None else Constant("date", w.removesuffix("Z")) for c, w in dates)
    )


MORE = {ODD: ["2020-01", "2020-01-31 10:00", "2020-02-29T23:59:59", "2020-02-29T23:59:59.50Z"], "year": [2.5, 10**30]}
pairs = st.sampled_from([(f, v) for f in VALUES for v in VALUES[f] + MORE.get(f, []) if v is not None])
leaves = st.one_of(
    st.builds(lambda pair, n: comparison(pair[0], "=", [pair[1]], n), pairs, st.booleans()),
    st.builds(
        lambda pair, operator, n: comparison(pair[0], operator, [pair[1]], n),
        pairs.filter(lambda pair: not isinstance(pair[1], bool)),
        st.sampled_from(["<", "<=", ">", ">="]),
        st.booleans(),
    ),
    st.builds(
        lambda some, n: comparison(some[0][0], "in", [v for f, v in some if f == some[0][0]], n),
        st.lists(pairs, min_size=1, max_size=5),
        st.booleans(),
    ),
    st.builds(
        lambda field, value, n: comparison(field, "=", [value], n),
        st.sampled_from(["id", "title", "media_type"]),
        st.sampled_from(["docs/1.md", "Tea", "", "text/plain"]),
        st.booleans(),
    ),
    st.builds(lambda f, n: IsNull(Field(f, own=f in OWN), n), st.sampled_from([*VALUES, *OWN]), st.booleans()),
)
conditions = st.recursive(
    leaves,
    lambda inner: st.builds(
        lambda kind, parts: kind(tuple(parts)), st.sampled_from([And, Or]), st.lists(inner, min_size=2, max_size=3)
    ),
    max_leaves=4,
)


@settings(deadline=None)
@given(conditions)
def test_a_filter_finds_what_the_catalog_finds(kb: Collection, condition: Condition) -> None:
    filtered = translated(as_dates(condition))
    if filtered is None:
        return
    try:
        expected = set(kb.chunk_ids(condition).tolist())
    except InvalidInput:  # no document can meet it because of its type
        return
    found = set()
    for document in kb.get([f"docs/{n}.md" for n in range(80)]):
        own = {name: str(getattr(document, name)) for name in OWN}
        if write(filtered, Met(indexed(document.metadata, own))):
            found |= set(kb.chunk_ids({"id": document.id}).tolist())
    assert found == expected


@pytest.mark.parametrize(
    ("operator", "date", "found"),
    [
        ("<=", "2020-01", ["2019-12-31", "2020-01-01", "2020-01-31T23:59:59Z"]),
        ("<", "2020-01", ["2019-12-31"]),
        (">", "2020-01", ["2020-02-01"]),
        (">=", "2020-01", ["2020-01-01", "2020-01-31T23:59:59Z", "2020-02-01"]),
        ("=", "2020-01", ["2020-01-01", "2020-01-31T23:59:59Z"]),
        ("=", "2020-01-31T23:59", ["2020-01-31T23:59:59Z"]),
    ],
)
def test_dates_are_compared_as_exactly_as_the_constant_is_given(operator: Any, date: str, found: list[str]) -> None:
    filtered = translated(Comparison(Field("day"), operator, (Constant("date", date),)))
    assert filtered is not None
    days = ["2019-12-31", "2020-01-01", "2020-01-31T23:59:59Z", "2020-02-01"]
    assert [day for day in days if write(filtered, Met(indexed({"day": day}, {})))] == found


@pytest.mark.parametrize(
    "text",
    [
        "lang like 'e%'",
        "lang < 'x'",
        "source = 'a.md'",
        "id > 'a'",
        f"year < {2**53}",
        "year = 1 and not lang ilike 'e%'",
    ],
)
def test_what_engines_cannot_compare_exactly_is_left_to_the_catalog(text: str) -> None:
    assert translated(parse(text)) is None


def test_columns_have_names_that_every_engine_takes() -> None:
    names = ("year", "Year", ODD, "h0123456789abcdef", "x" * 99)
    columns = [c for field in names for of in FIELD_TYPES for c in bound_columns(field, of)]
    assert len(set(columns)) == len(columns) == 20
    assert all(c.isascii() and c.replace("_", "").isalnum() and len(c) < 64 and c.islower() for c in columns)


def test_a_long_value_is_kept_as_its_digest() -> None:
    terms = indexed({"note": "word " * 1000}, {}).terms
    assert max(map(len, terms)) <= 200
    assert terms != indexed({"note": "word " * 1000 + "x"}, {}).terms
