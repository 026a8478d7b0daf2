"""Conditions on `source`: a file goes by its absolute path, and by its path as ids show it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gnomon
from gnomon.collection import Collection
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.testing.toys import HashEncoder

ON_BOTH = True

SHORT = {
    # File below the folder of all: the path that ids below its root begin with.
    "docs/sub/a.md": "sub/a.md",  # indexed first, so its folder keeps its own label
    "docs/sub/deep/b.md": "sub/deep/b.md",
    "docs/sub-x.md": "docs/sub-x.md",  # before docs/sub/ in the alphabet: no part of it
    "docs/c #1.md": "docs/c #1.md",
    "docs/rows.csv": "docs/rows.csv",
    "docs.old/c.md": "docs.old/c.md",
    "one/alone.md": "alone.md",  # a file given by itself
    "topics/corpus.jsonl": "topics/corpus.jsonl",  # ids within it are its own
}
TEXTS = {
    "docs/rows.csv": "text\nthe first row of words\nthe second row of words\n",
    "topics/corpus.jsonl": '{"_id": "d1", "title": "", "text": "tea"}\n',
}
BY_HAND = {"none": "", "web": "https://example.org/docs/a", "like": "docs/typed.md"}


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all files lie in."""
    folder = tmp_path_factory.mktemp("top").resolve()
    for name in SHORT:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXTS.get(name, f"The words of {name}."))
    return folder


@pytest.fixture(scope="module")
def kb(top: Path) -> Iterator[Collection]:
    """All files, of nested roots and of several, and documents by hand, one within an indexed folder."""
    with gnomon.open(top / "kb", encoder=HashEncoder(8)) as collection:
        for paths in (["docs/sub"], ["docs", "docs.old"], ["one/alone.md", "topics"]):
            collection.index([top / path for path in paths])
        hand = {**BY_HAND, "within": str(top / "docs" / "typed.md")}
        collection.add(Document(name, f"text {name}", source=source) for name, source in hand.items())
        yield collection


def names(kb: Collection, top: Path) -> dict[str, list[str]]:
    """Every document's names of its source: what conditions are to be judged by."""
    with kb.internals.catalog.read() as connection:
        rows = connection.exec_driver_sql("select key, source, source_id from documents").all()
    short = {str(top / name): label for name, label in SHORT.items()}
    return {row.key: [row.source] + ([short[row.source]] if row.source_id else []) for row in rows}


def matches(value: str, pattern: str) -> bool:
    """SQL's like, as a pattern of the shell."""
    return fnmatchcase(value, pattern.replace("[", "[[]").replace("%", "*").replace("_", "?"))


COMPARES: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "like": matches,
    "not like": matches,
}
NEGATED = ("!=", "not like", "not in")


def condition(pool: list[str]) -> st.SearchStrategy[tuple[str, Callable[[list[str]], bool]]]:
    """A condition as typed, and what it says of a source by its names."""
    values = st.sampled_from(pool)

    def one(sign: str, value: str) -> tuple[str, Callable[[list[str]], bool]]:
        quoted = value.replace("'", "''")
        fits = COMPARES[sign]
        return (
            f"source {sign} '{quoted}'",
            lambda own: any(fits(name, value) for name in own) != (sign in NEGATED),
        )

    def listed(sign: str, some: list[str]) -> tuple[str, Callable[[list[str]], bool]]:
        typed = ", ".join(f"'{value}'" for value in some)
        return f"source {sign} ({typed})", lambda own: bool(set(some) & set(own)) != (sign in NEGATED)

    def turned(inner: tuple[str, Callable[[list[str]], bool]]) -> tuple[str, Callable[[list[str]], bool]]:
        typed, judge = inner
        return f"not ({typed})", lambda own: not judge(own)

    leaves = st.builds(one, st.sampled_from(sorted(COMPARES)), values) | st.builds(
        listed, st.sampled_from(["in", "not in"]), st.lists(values, min_size=1, max_size=4)
    )
    return leaves | st.builds(turned, leaves)


@settings(deadline=None)
@given(data=st.data())
def test_either_name_fits_and_a_negation_is_all_the_others(kb: Collection, top: Path, data) -> None:
    own = names(kb, top)
    known = sorted({name for each in own.values() for name in each})
    patterns = ["docs/%", "sub/%", "docs%", f"{top}/docs/%", f"{top}/%", "%.md", "%/a.md", "_ub/%", "%", ""]
    typed, judge = data.draw(condition([*known, *patterns]))
    expected = {key for key, each in own.items() if judge(each)}
    assert set(kb.ids(typed)) == expected
    assert set(kb.ids(f"not ({typed})")) == own.keys() - expected


def test_the_path_is_taken_as_ids_show_it(kb: Collection, top: Path) -> None:
    docs = {"docs/c #1.md", "docs/sub-x.md", "docs/rows.csv#1", "docs/rows.csv#2"}
    assert set(kb.ids("source like 'docs/%'")) == docs | {"like"}
    assert set(kb.ids("source like 'docs/%' and source != 'docs/rows.csv'")) == {
        "docs/c #1.md", "docs/sub-x.md", "like"
    }  # fmt: skip
    assert set(kb.ids("source = 'topics/corpus.jsonl'")) == {"d1"}
    assert set(kb.ids("source in ('alone.md', 'sub/a.md')")) == {"alone.md", "sub/a.md"}
    assert set(kb.ids(f"source like '{top}/docs/%'")) == docs | {"sub/a.md", "sub/deep/b.md", "within"}
    assert set(kb.ids("source is null")) == {"none"}
    hits = kb.search("the words", k=50, mode="lexical", where="source like 'docs/%'")
    assert {hit.document for hit in hits} == docs


def test_files_that_come_later_are_looked_at_in_the_same_way(kb: Collection, top: Path) -> None:
    where = "source like 'later/%'"
    assert kb.chunk_ids(where).tolist() == []
    (top / "later").mkdir()
    for name in ("x.md", "y.md"):
        (top / "later" / name).write_text(f"The words of {name}.")
        kb.index([top / "later"])
        assert f"later/{name}" in kb.ids(where)
        found = kb.search("words", k=9, mode="lexical", where=where)
        assert {hit.document for hit in found} == set(kb.ids(where))
    kb.remove(kb.ids(where))


def test_documents_by_condition(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="no document has a field 'yaer'"):
        kb.ids("yaer = 1")
    assert set(kb.ids("id = 'web'")) == {"web"}
    assert kb.ids("id = 'nothing'") == []
