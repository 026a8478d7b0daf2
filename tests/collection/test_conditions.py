"""Filtered searches against slow twins: documents looked at in Python, rankings filtered as a whole."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gnomon
from gnomon.collection import Collection
from gnomon.collection.catalog.filters import Filters
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve import Fuse
from gnomon.retrieve.where import from_mapping, parse
from gnomon.testing.toys import HashEncoder
from gnomon.text.field_types import iso_prefix
from support.metadata import drawn_metadata

ON_BOTH = True

ODD = 'an "odd" name'
VALUES: dict[str, list[Any]] = {
    "year": [2019, 2020, 2020.0, 0.5, -3, "2021", "n/a", None],
    "lang": ["en", "de", "En", "a%b", "[x]", "Über", "", "o'k", "2020", 7, None],
    "done": [True, False, True, "true", "maybe", None],
    ODD: ["2019-05-01", "2020-01-31T10:00:00", "2020-01-31", "2020", "2020-02-29T23:59:59.5Z", "soon", None],
}
TYPES = {"year": "number", "lang": "text", "done": "boolean", ODD: "date"}
FIELDS = list(VALUES)
OTHERS = {"year": "text", "done": "text", ODD: "text", "lang": ""}
"""The kind of the values that stay what they are, as they are none of the field's type."""
WORDS = "tea kettle water whale sundial shadow key river stone otter".split()


def documents(count: int) -> list[Document]:
    rng = random.Random(0)
    made = []
    for n in range(count):
        metadata = drawn_metadata(rng, VALUES, lists=0.3)
        text = "\n\n".join(" ".join(rng.choices(WORDS, k=12)) for _ in range(rng.randrange(1, 9)))
        title = rng.choice(["", "Tea", "tea [2]", "Whales"])
        made.append(Document(f"{rng.choice(['docs', 'Notes'])}/{n}.md", text, title, metadata=metadata))
    return made


DOCUMENTS = documents(120)


@pytest.fixture(scope="module")
def big(new_place: Callable[[], str]) -> Iterator[Collection]:
    """A collection of DOCUMENTS, most with several chunks."""
    small = gnomon.CollectionSettings(chunk_tokens=24, chunk_overlap=0)
    encoder = HashEncoder(64, max_tokens=48)
    with gnomon.open(new_place(), encoder=encoder, settings=small) as kb:
        kb.add(DOCUMENTS)
        yield kb


@dataclass(frozen=True)
class Twin:
    """A condition as typed and as a mapping, and what it says of a document: True, False, or None for neither.

    Impossible: it compares a field with what no document has of that field.
    """

    typed: str
    mapping: dict[str, Any]
    judge: Callable[[Document], bool | None]
    impossible: bool = False


def kind(value: object) -> str:
    return {str: "text", bool: "truth", int: "number", float: "number"}.get(type(value), "none")


def constant_kind(field: str, operator: str, constant: object) -> str:
    dated = TYPES.get(field) == "date" and operator not in ("like", "ilike") and isinstance(constant, str)
    return "date" if dated and iso_prefix(str(constant)) else kind(constant)


def fitting(field: str, operator: str) -> str:
    of = TYPES.get(field, "text")
    return "text" if of == "date" and "like" in operator else "truth" if of == "boolean" else of


@dataclass(frozen=True)
class Exact:
    """A constant as a key: 1 and True are two."""

    value: Any

    def __hash__(self) -> int:
        return hash(repr(self.value))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exact) and repr(self.value) == repr(other.value)


def spelt(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def like(pattern: str, value: str, *, any_case: bool) -> bool:
    parts = {"%": ".*", "_": "."}
    expression = "".join(parts.get(c, re.escape(c)) for c in pattern)
    return re.fullmatch(expression, value, re.DOTALL | (re.IGNORECASE if any_case else 0)) is not None


FITS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "in": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "like": lambda a, b: like(b, a, any_case=False),
    "ilike": lambda a, b: like(b, a, any_case=True),
}
EARLIEST = "0001-01-01T00:00:00.000000"


def fits(value: Any, operator: str, constant: Any, of: str) -> bool:
    if of == "date":
        if kind(value) != "text" or iso_prefix(value) is None:
            return False
        constant = (iso_prefix(constant) or "").removesuffix("Z")
        moment = value.removesuffix("Z")
        value = (moment + EARLIEST[len(moment) :])[: len(constant)]
    return kind(value) == kind(constant) and FITS[operator](value, constant)


def is_comparable(value: Any, of: str) -> bool:
    return kind(value) == of or (of == "date" and kind(value) == "text" and iso_prefix(value) is not None)


def own_values(document: Document, field: str) -> list[Any]:
    if field in ("id", "title", "media_type"):
        return [getattr(document, field)]
    value = document.metadata.get(field)
    return [v for v in (value if isinstance(value, list) else [value]) if v is not None]


def comparison(field: str, operator: str, constants: list[Any], *, negated: bool = False) -> Twin:
    name = f'"{field.replace(chr(34), chr(34) * 2)}"' if " " in field else field
    if operator == "in":
        typed = f"{name} {'not ' * negated}in ({', '.join(map(spelt, constants))})"
    elif operator in ("like", "ilike"):
        typed = f"{name} {'not ' * negated}{operator} {spelt(constants[0])}"
    else:
        typed = f"{name} {'!=' if negated else operator} {spelt(constants[0])}"

    key = name if " " in field else field
    value: Any = constants if operator == "in" else constants[0]
    named = f"not {operator}" if negated and operator != "=" else "!=" if negated else operator

    kinds = {c: constant_kind(field, operator, c.value) for c in map(Exact, constants)}

    def judge(document: Document) -> bool | None:
        values = [v for v in own_values(document, field) if any(is_comparable(v, of) for of in kinds.values())]
        if not values:
            return None
        met = any(fits(v, operator, c.value, of) for v in values for c, of in kinds.items())
        return met != negated

    impossible = set(kinds.values()) - {fitting(field, operator), OTHERS.get(field)}
    return Twin(typed, {key: {named: value}}, judge, bool(impossible))


def null(field: str, *, negated: bool) -> Twin:
    name = f'"{field.replace(chr(34), chr(34) * 2)}"' if " " in field else field
    return Twin(
        f"{name} is {'not ' * negated}null",
        {name: {"!=": None} if negated else None},
        lambda document: any(v != "" or field in FIELDS for v in own_values(document, field)) == negated,
    )


def joined(word: str, parts: list[Twin]) -> Twin:
    def judge(document: Document) -> bool | None:
        verdicts = [part.judge(document) for part in parts]
        decides = word == "or"
        return decides if decides in verdicts else None if None in verdicts else not decides

    typed = "(" + f" {word} ".join(part.typed for part in parts) + ")"
    return Twin(typed, {word: [part.mapping for part in parts]}, judge, any(part.impossible for part in parts))


def reversed_(part: Twin) -> Twin:
    def judge(document: Document) -> bool | None:
        verdict = part.judge(document)
        return None if verdict is None else not verdict

    return Twin(f"not {part.typed}", {"not": part.mapping}, judge, part.impossible)


plain = [value for values in VALUES.values() for value in values if value is not None]
plain += [
    "2020-01",
    "2020-01-31 10:00",
    "2020-01-31T12:00+02:00",
    "2020-02-29T23:59:59.50Z",
    "2020-02-29T23:59:59.5001Z",
    "x",
]
texts = [value for value in plain if isinstance(value, str)] + ["Tea", "docs/1.md", "text/plain"]
patterns = st.sampled_from(["docs/%", "%1_.md", "NOTES/%", "e_", "%", "", "ü%", "[x]", "a%b", "%TEA%", "tea [2]", "*"])
own = st.sampled_from(["id", "title", "media_type"])
fields_ = st.sampled_from(FIELDS)


def of_their_types(field: str) -> st.SearchStrategy[Any]:
    """Values that a field is mostly compared with."""
    mine = [value for value in plain if constant_kind(field, "=", value) in (fitting(field, "="), OTHERS[field])]
    return st.sampled_from(mine) if mine else st.nothing()


fields_and_values = fields_.flatmap(lambda field: st.tuples(st.just(field), of_their_types(field)))
leaves = st.one_of(
    st.builds(
        lambda pair, operator: comparison(pair[0], operator, [pair[1]]),
        fields_and_values.filter(lambda pair: not isinstance(pair[1], bool)),
        st.sampled_from(["=", "<", "<=", ">", ">="]),
    ),
    st.builds(lambda pair, n: comparison(pair[0], "=", [pair[1]], negated=n), fields_and_values, st.booleans()),
    st.builds(lambda field, constant: comparison(field, "=", [constant]), fields_, st.sampled_from(plain)),
    st.builds(
        lambda field, operator, constant: comparison(field, operator, [constant]),
        own,
        st.sampled_from(["=", "<", ">="]),
        st.sampled_from(texts),
    ),
    st.builds(
        lambda field, operator, pattern, n: comparison(field, operator, [pattern], negated=n),
        own | st.sampled_from(["lang", ODD]),
        st.sampled_from(["like", "ilike"]),
        patterns,
        st.booleans(),
    ),
    st.builds(
        lambda pairs, n: comparison(pairs[0], "in", pairs[1], negated=n),
        fields_.flatmap(lambda f: st.tuples(st.just(f), st.lists(of_their_types(f), min_size=1, max_size=4))),
        st.booleans(),
    ),
    st.builds(lambda field, n: null(field, negated=n), own | fields_, st.booleans()),
)
conditions = st.recursive(
    leaves,
    lambda inner: (
        st.builds(joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3))
        | st.builds(reversed_, inner)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize("pattern", ["[x]", "%[2]", "tea [2]", "TEA [2_", "ü%", "Ü_ER", "a%b", "*", "?%", "", "_n"])
@pytest.mark.parametrize("operator", ["like", "ilike"])
def test_a_pattern_is_only_percent_and_underscore(big: Collection, operator: str, pattern: str) -> None:
    for field in ("title", "lang"):
        twin = comparison(field, operator, [pattern])
        stored = big.get([document.id for document in DOCUMENTS])
        expected = {document.id for document in stored if twin.judge(document)}
        assert big.chunk_ids(twin.typed).tolist() == chunks_of(big, expected)


def chunks_of(kb: Collection, keys: set[str]) -> list[int]:
    return [] if not keys else kb.chunk_ids({"id": {"in": sorted(keys)}}).tolist()


@settings(deadline=None)
@given(conditions)
def test_a_condition_allows_what_its_twin_does(big: Collection, twin: Twin) -> None:
    assert from_mapping(twin.mapping) == parse(twin.typed)
    if twin.impossible:
        with pytest.raises(InvalidInput, match="no document can meet this"):
            big.chunk_ids(twin.typed)
        return
    stored = big.get([document.id for document in DOCUMENTS])
    expected = {document.id for document in stored if twin.judge(document) is True}
    assert big.chunk_ids(twin.typed).tolist() == chunks_of(big, expected)


DATES = [value for value in plain if isinstance(value, str) and iso_prefix(value)]


@pytest.mark.parametrize("operator", ["=", "<", "<=", ">", ">=", "in"])
def test_dates_are_compared_as_exactly_as_the_constant_is_given(big: Collection, operator: str) -> None:
    stored = big.get([document.id for document in DOCUMENTS])
    for constants in [[date] for date in DATES] if operator != "in" else [DATES[:2], DATES[2:5], DATES[5:]]:
        twin = comparison(ODD, operator, constants)
        expected = {document.id for document in stored if twin.judge(document) is True}
        assert big.chunk_ids(twin.typed).tolist() == chunks_of(big, expected), twin.typed


class Slow:
    """Everything that a retriever finds, then only what is allowed."""

    def __init__(self, retriever, allowed) -> None:
        self.retriever, self.allowed = retriever, allowed

    def __call__(self, queries, *, k):
        found = []
        for ranking in self.retriever(queries, k=10_000):
            keep = np.isin(ranking.ids, self.allowed)
            stages = {name: values[keep] for name, values in ranking.stages.items()}
            found.append(Ranking(ranking.ids[keep], ranking.scores[keep], stages).first(k))
        return found


SHARES = [
    "id = 'docs/none'",
    "id like '%/1__.md'",
    "id like '%1%'",
    "id like 'docs/%'",
    "not id like '%/77.md'",
    "id > ''",
]


@pytest.mark.parametrize("where", SHARES)
@pytest.mark.parametrize("mode", ["dense", "lexical", "hybrid"])
def test_a_filtered_search_is_the_whole_one_filtered(big: Collection, mode: Any, where: str) -> None:
    allowed = big.chunk_ids(where)
    if mode == "hybrid":
        parts = tuple(Slow(big.retriever(part), allowed) for part in ("dense", "lexical"))
        slow: Any = Fuse(parts, big.version.retrieval.fuse)
    else:
        slow = Slow(big.retriever(mode), allowed)
    queries = [Query("black tea in the kettle"), Query("an otter by the river"), Query("zzz")]
    fast = big.retriever(mode, where=where)
    for k in (3, 1000):
        for ours, theirs in zip(fast(queries, k=k), slow(queries, k=k), strict=True):
            np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5, atol=1e-6)
            ties = len(np.unique(theirs.scores)) < len(theirs.scores)  # sums may differ in their last bit
            assert set(ours.ids) == set(theirs.ids) or ties
            assert np.isin(ours.ids, allowed).all()
    assert {hit.chunk_id for hit in big.search("tea", k=1000, mode=mode, where=where)} <= set(allowed.tolist())


def test_search_takes_a_condition_in_all_its_forms(big: Collection) -> None:
    where = "id like 'docs/%'"
    condition = parse(where)
    hits = big.search("tea", k=8, where=where)
    assert {hit.document.split("/")[0] for hit in hits} == {"docs"}
    assert big.search("tea", k=8, where=condition) == hits
    assert big.search_many(["tea", "otter"], k=8, where=where)[0] == hits
    own = big.retriever()([Query("tea", where=big.chunk_ids(where))], k=8)[0]
    assert own.ids.tolist() == [hit.chunk_id for hit in hits]
    run = big.run({"q": "tea"}, k=5, where=where)
    assert {name.split("/")[0] for name in run.results["q"]} == {"docs"}
    assert run.about["where"] == where
    by = big.search("tea", k=3, by="document", where="lang = 'en'")
    assert all("en" in np.atleast_1d(hit.metadata["lang"]) for hit in by)


def test_ids_are_found_once_and_then_follow_the_journal(opened: Callable[..., Collection]) -> None:
    kb = opened()
    kb.add({"id": str(n), "text": f"text {n}", "metadata": {"n": n}} for n in range(9))
    few = kb.chunk_ids("n < 3")
    assert kb.chunk_ids("N < 3".lower()) is few
    assert not few.flags.writeable
    kb.add([{"id": "x", "text": "another", "metadata": {"n": 50}}])
    assert kb.chunk_ids("n < 3") is few
    kb.add([{"id": "8", "text": "text 8", "metadata": {"n": 0}}])  # the same text: only its number is new
    kb.remove(["0", "5"])
    hits = kb.search("text", k=20, where="n < 3")
    assert sorted(hit.document for hit in hits) == ["1", "2", "8"]
    assert kb.chunk_ids("n < 3").tolist() == sorted(hit.chunk_id for hit in hits)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 4)), max_size=12))
def test_following_gives_what_looking_anew_gives(shared: Collection, changes: list[tuple[str, int | None]]) -> None:
    for document, number in changes:
        if number is None:
            shared.remove([document])
        else:
            shared.add([{"id": document, "text": f"text {document}", "metadata": {"n": number}}])
        for where in ("n >= 2", "n != 3 or id = 'a'"):
            anew = Filters(shared.internals.catalog, shared.version.chunking_id).ids(where, upto=0)
            assert shared.chunk_ids(where).tolist() == anew.tolist()


@pytest.fixture(scope="module")
def shared(new_place: Callable[[], str]) -> Iterator[Collection]:
    """A collection that examples change one after the other."""
    with gnomon.open(new_place(), encoder=HashEncoder(8)) as kb:
        kb.add([{"id": "always", "text": "text", "metadata": {"n": 2}}])
        yield kb


def test_only_so_many_conditions_are_kept(big: Collection) -> None:
    first = big.chunk_ids("year > -99")
    for number in range(16):
        big.chunk_ids(f"year > {number}")
    assert big.chunk_ids("year > -99") is not first
    assert big.chunk_ids("year > -99").tolist() == first.tolist()


def test_a_field_that_no_document_has_is_refused(opened: Callable[..., Collection]) -> None:
    kb = opened()
    assert kb.search("tea", where="anything = 1") == []  # nothing there: nothing to be wrong about
    kb.add([{"id": "a", "text": "tea", "metadata": {"year": 2020, "lang": "en"}}, {"id": "b", "text": "x"}])
    kb.add([{"id": "c", "text": "y", "metadata": {"year": None}}])
    for where in ("yaer >= 2020", "year = 2020 or not Yaer is null"):
        with pytest.raises(InvalidInput) as caught:
            kb.search("tea", where=where)
        assert caught.value.message.lower() == "no document has a field 'yaer'"
        assert caught.value.expected == "one of id, source, title, media_type, year (2), lang (1)"
        assert caught.value.hint == "did you mean year?"
    with pytest.raises(InvalidInput) as caught:
        kb.chunk_ids("zzz = 1")
    assert caught.value.hint == "choose one of these fields"
    assert kb.search("tea", where="lang = 'fr'") == []
    assert [hit.document for hit in kb.search("x", where="year is null and id != 'c'")] == ["b"]
    assert len(kb.chunk_ids("lang = 'en'")) == 1
    kb.remove(["a"])
    with pytest.raises(InvalidInput, match="no document has a field 'lang'"):
        kb.chunk_ids("lang = 'en'")


def test_many_fields_are_not_all_listed(opened: Callable[..., Collection]) -> None:
    kb = opened()
    kb.add([{"id": "a", "text": "tea", "metadata": {f"f{n:02}": n for n in range(30)}}])
    with pytest.raises(InvalidInput) as caught:
        kb.chunk_ids("g = 1")
    assert caught.value.expected.endswith("f11 (1), 18 more")


def test_metadata_by_hand_is_made_as_flat_as_that_of_files(opened: Callable[..., Collection]) -> None:
    kb = opened()
    kb.add([{"id": "a", "text": "tea", "metadata": {"score": float("nan"), "more": {"x": 1}, "big": 2**70}}])
    kb.add([Document("b", "tea", metadata={"score": 1.5, "tags": ("x", "y")})])
    assert len(kb.chunk_ids("score > 1")) == 1
    assert len(kb.chunk_ids("score is null")) == 1
    assert len(kb.chunk_ids("tags = 'y' and tags != 'z'")) == 1
    assert len(kb.chunk_ids("big > 1e21 and more.x = 1")) == 1


def test_a_condition_is_only_ever_bound(opened: Callable[..., Collection]) -> None:
    kb = opened()
    odd = """'; drop table documents; --"""
    kb.add([{"id": odd, "text": "tea", "metadata": {odd: odd, "$.x": 1}}])
    quoted = odd.replace("'", "''")
    assert len(kb.chunk_ids(f"id = '{quoted}' and \"{odd}\" in ('{quoted}') and \"$.x\" = 1")) == 1
    assert len(kb.chunk_ids(f"\"{odd}\" like '%{quoted}%'")) == 1
    assert kb.ids() == [odd]


def test_a_list_of_any_length_is_one_constant(big: Collection) -> None:
    names = [document.id for document in DOCUMENTS] + [str(number) for number in range(5000)]
    where = f"id in ({', '.join(map(spelt, names))})"
    assert len(big.chunk_ids(where)) == big.status().chunks
