"""Whatever a caller gives is taken, converted or refused by name; nothing but gnomon's errors escapes."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gnomon
from gnomon.collection import Collection
from gnomon.core.documents import Document
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.testing.toys import HashEncoder

BAD_ROWS: list[tuple[Any, str]] = [
    ({"id": b"x", "text": "t"}, "id is of the type bytes"),
    ({"id": True, "text": "t"}, "id is of the type bool"),
    ({"id": 1.5, "text": "t"}, "id is of the type float"),
    ({"id": "", "text": "t"}, "id is empty"),
    ({"id": "a\0b", "text": "t"}, "which holds NUL or half a character"),
    ({"id": "a\ud800", "text": "t"}, "which holds NUL or half a character"),
    ({"id": "a", "text": None}, "a document with fields"),
    ({"id": "a", "text": 5}, "text is of the type int"),
    ({"id": "a", "text": "t", "title": ["x"]}, "title is of the type list"),
    ({"id": "a", "text": "t", "source": 5}, "source is of the type int"),
    ({"id": "a", "text": "t", "media_type": b"x"}, "media_type is of the type bytes"),
    ({"id": "a", "text": "t", "metadata": "x"}, "metadata of the type str"),
    ({"id": "a", "text": "t", "metadata": {"x": object()}}, r"metadata\['x'\] is of the type object"),
    ({"id": "a", "text": "t", "more": 1}, "a document with fields"),
    (Document(5, "t"), "id is of the type int"),  # type: ignore[arg-type]
    (("a", "t"), "a document of type tuple"),
    (b"text", "a document of type bytes"),
    (None, "a document of type NoneType"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS, ids=[message[:40] for _, message in BAD_ROWS])
def test_a_row_that_is_no_document_is_named_and_the_others_go_in(
    opened: Callable[..., Collection], row: Any, message: str
) -> None:
    if isinstance(row, Document):
        row = Document(b"5", "t")  # type: ignore[arg-type]
        message = "id is of the type bytes"
    kb = opened()
    report = kb.add([{"id": "first", "text": "one"}, row, "two"])
    (problem,) = report.problems
    assert problem.path.startswith("row 1")
    assert problem.skipped
    assert len(kb) == 2
    with pytest.raises(InvalidInput, match=message) as caught:
        kb.add(["three", row], strict=True)
    assert caught.value.message.startswith("row 1")
    with pytest.raises(InvalidInput, match=message):
        kb.add([row])
    if row is not None:
        with pytest.raises(InvalidInput):
            kb.add(row if not isinstance(row, tuple) else [row])
    assert len(kb) == 2


def test_ids_of_other_types_are_the_same_everywhere(opened: Callable[..., Collection]) -> None:
    kb, name = opened(), uuid.UUID(int=7)
    kb.add([{"id": 5, "text": "river"}, {"id": np.int64(6), "text": "stone"}, {"id": name, "text": "u"}])
    kb.add([{"id": Path("a/b"), "text": "path"}])
    assert sorted(kb.ids()) == sorted(["5", "6", str(name), "a/b"])
    assert kb.text(5) == "river"  # type: ignore[arg-type]
    assert [document.id for document in kb.get([np.int64(6), name])] == ["6", str(name)]  # type: ignore[list-item]
    assert kb.remove([5, 6]) == 2  # type: ignore[list-item]
    assert len(kb) == 2


def test_what_is_none_is_not_given(opened: Callable[..., Collection]) -> None:
    kb = opened()
    row = {"id": None, "text": "fine", "title": None, "source": None, "media_type": None, "metadata": None}
    assert kb.add([row]).problems == ()
    (document,) = kb.get(kb.ids())
    assert (document.text, document.title, document.media_type, document.metadata) == ("fine", "", "text/plain", {})
    assert document.id == kb.add("fine").problems or len(kb) == 1  # the id is the text's digest, as without the key
    assert kb.add({"id": "n", "text": "x", "title": 1984}).documents == 1
    found = kb.get("n")
    assert found is not None
    assert found.title == "1984"


def test_halves_of_characters_are_cleaned_as_in_files(opened: Callable[..., Collection]) -> None:
    kb = opened()
    rows = [{"id": f"r{n}", "text": f"review {n}: nice hotel"} for n in range(5)]
    rows[3] = {"id": "r3", "text": "great stay \ud83d", "title": "x\ud83d", "metadata": {"who\ud83d": "\ud83d"}}  # type: ignore[dict-item]
    assert kb.add(rows).documents == 5
    found = kb.get("r3")
    assert found is not None
    assert (found.text, found.title, found.metadata) == ("great stay \ufffd", "x\ufffd", {"who\ufffd": "\ufffd"})
    for mode in ("dense", "lexical", "hybrid"):
        assert kb.search("great \ud83d", k=2, mode=mode)[0].document == "r3"
    with pytest.raises(InvalidInput, match="half a character"):
        kb.text("\ud83d")


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None, 2**63, 10**10, float("nan")])
def test_numbers_of_hits_are_whole_and_bounded(opened: Callable[..., Collection], k: Any) -> None:
    kb = opened()
    kb.add("river")
    with pytest.raises(InvalidInput, match="k is"):
        kb.search("river", k=k)
    assert len(kb.search("river", k=np.int64(3))) == 1


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with gnomon.open(tmp_path_factory.mktemp("kb"), encoder=HashEncoder(8)) as kb:
        kb.add([{"id": "a", "text": "river", "metadata": {"n": 1, "day": "2020-01-01", "tags": ["x"], "ok": True}}])
        yield kb


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(
        ["a", "river", "n", "\ud800", "a\0", "n = 1", "n in (1, 'x')", 2**64, 10**400, np.int8(3), np.nan]
    )
    | st.dates()
    | st.sampled_from([Decimal("1.50"), Decimal("NaN")])
    | st.builds(object)
)
keys = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3) | st.dates()
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(st.integers() | st.text(max_size=3), max_size=3)
        | st.dictionaries(scalars.filter(lambda key: key == key), inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "text", "title", "metadata", "source", "media_type", "n", "and", "not", "day", "="]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
CALLS: dict[str, Callable[[Collection, Any, Any], Any]] = {
    "add": lambda kb, a, b: kb.add(a),
    "add several": lambda kb, a, b: kb.add([a, {"id": a, "text": b}, {"id": "z", "text": "z", "metadata": b}]),
    "upsert": lambda kb, a, b: kb.upsert({"id": "z", "text": "z", "title": a, "source": b, "media_type": a}),
    "add metadata": lambda kb, a, b: kb.add({"id": "z", "text": "z", "metadata": {"n": a, "day": b, "tags": a}}),
    "remove": lambda kb, a, b: kb.remove(a),
    "remove where": lambda kb, a, b: kb.remove(where=a, source=b),
    "get": lambda kb, a, b: kb.get(a),
    "text": lambda kb, a, b: kb.text(a),
    "ids": lambda kb, a, b: kb.ids(a, source=b),
    "chunk_ids": lambda kb, a, b: kb.chunk_ids(a),
    "where": lambda kb, a, b: kb.search("river", where={"n": a, "day": {"<": b}}),
    "search": lambda kb, a, b: kb.search(a, k=3),
    "search k": lambda kb, a, b: kb.search("river", k=a, by=b),
    "search mode": lambda kb, a, b: kb.search("river", mode=a),
    "search_many": lambda kb, a, b: kb.search_many(a, k=b),
    "run": lambda kb, a, b: kb.run(a, k=3),
    "run queries": lambda kb, a, b: kb.run({a if isinstance(a, str) else "q": b}, k=3),
    "to_arrow": lambda kb, a, b: kb.to_arrow(a, where=b),
    "retriever": lambda kb, a, b: kb.retriever(a, where=b),
    "set_type": lambda kb, a, b: kb.fields.set_type(a, b),
    "set_type of": lambda kb, a, b: kb.fields.set_type("n", a),
    "switch": lambda kb, a, b: kb.switch(a),
    "retire": lambda kb, a, b: kb.retire(a),
}


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=20, deadline=None)
@given(a=anything, b=anything)
def test_only_errors_of_gnomon_escape(shared: Collection, name: str, a: Any, b: Any) -> None:
    with contextlib.suppress(GnomonError, ValueError, TypeError):
        CALLS[name](shared, a, b)
