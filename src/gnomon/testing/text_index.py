"""The conformance check for keyword indexes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gnomon.core.contracts import TextIndex
from gnomon.core.errors import InvalidInput
from gnomon.testing.expect import expect, fail, refuses

_Array = np.ndarray[Any, np.dtype[Any]]

_TEXTS = (
    "the quick brown fox jumps over the lazy dog",
    "a lazy afternoon with a dog and a book",
    "the history of the quick sailing ship",
    "brown bread with butter",
    "sailing against the wind",
)


def check_text_index(make: Callable[[], TextIndex]) -> None:
    """Check that `make` gives a TextIndex that keeps every promise of the contract.

    `make` is called several times and must give an empty index each time. The texts are English.
    """
    empty = make()
    expect(len(empty) == 0, f"a new index must be empty, but len is {len(empty)}")
    expect(_found(empty, "anything") == [], "an empty index must answer with an empty ranking")
    empty.remove(np.array([1]))
    index = make()
    ids = np.array([30, 10, 50, 20, 40])
    index.add(ids, ["fox", "dog", "ship", "bread", "wind"], list(_TEXTS))
    _check_words(index)
    _check_rough_queries(index)
    _check_text_changes(index)
    _check_text_refusals(index)
    _check_text_ties(make())


def _found(index: TextIndex, query: str, *, k: int = 10, where: _Array | None = None) -> list[int]:
    (ranking,) = index.search([query], k=k, where=where)
    expect(ranking.ids.dtype == np.int64, f"ids are {ranking.ids.dtype}, not int64")
    expect(bool((np.diff(ranking.scores) <= 0).all()), f"query {query[:40]!r}: scores rise in the ranking")
    return [int(one) for one in ranking.ids]


def _check_words(index: TextIndex) -> None:
    expect(len(index) == 5, f"after adding five texts len is {len(index)}")
    expect(set(_found(index, "lazy")) == {30, 10}, "a word must find all texts that hold it and no other")
    expect(_found(index, "quick fox")[:1] == [30], "the text with both words of the query must come first")
    expect(set(_found(index, "butter wind")) == {20, 40}, "a text with any word of the query must be found")
    expect(len(_found(index, "lazy", k=1)) == 1, "k = 1 must give one result")
    expect(_found(index, "zebra") == [], "a word that no text holds must find nothing")
    expect(_found(index, "LAZY") == _found(index, "lazy"), "upper and lower case must find the same")
    expect(50 in _found(index, "ship"), "words of the text must be found")
    several = index.search(["lazy", "zebra", "wind"], k=3)
    expect([len(r) for r in several] == [2, 0, 1], "each query of a batch must get its own ranking, in order")
    expect(_found(index, "lazy", where=np.array([10, 20])) == [10], "only allowed ids may be found")
    expect(_found(index, "lazy", where=np.array([], dtype=np.int64)) == [], "nothing allowed, nothing found")


def _check_rough_queries(index: TextIndex) -> None:
    rough = [
        "",
        "   ",
        '"',
        "a:b AND (",
        "title:[* TO *]",
        "+-!(){}[]^~*?:\\/",
        "🦊",
        "\x00",
        "\ud800",
        "'; --",
    ]
    for query in [*rough, "lazy " * 2000, "x" * 10_000, "the of and"]:
        try:
            _found(index, query)
        except AssertionError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever comes is the finding
            fail(f"query {query[:20]!r} is only text, but raised {type(error).__name__}: {error}")
    expect(_found(index, 'lazy" (dog:')[:1] != [], "marks around words must not keep them from being found")


def _check_text_changes(index: TextIndex) -> None:
    index.add(np.array([10]), ["cat"], ["a sleepy cat"])
    expect(len(index) == 5, "a new text for an id that is there must replace the old one")
    expect(_found(index, "afternoon") == [], "a replaced text must not be found any more")
    expect(_found(index, "sleepy") == [10], "the new text of an id must be found")
    index.remove(np.array([10, 99]))
    expect(len(index) == 4 and _found(index, "sleepy") == [], "a removed text must not be found")
    index.add(np.array([10]), [""], ["sleepy again"])
    expect(_found(index, "sleepy") == [10], "an id that was removed can be added again")


def _check_text_refusals(index: TextIndex) -> None:
    one: Sequence[str] = ["text"]
    refuses(lambda: index.search(["lazy"], k=0), InvalidInput, "searching with k = 0")
    refuses(lambda: index.add(np.array([1, 1]), ["", ""], ["a", "b"]), InvalidInput, "adding an id twice")
    refuses(lambda: index.add(np.array([1, 2]), ["", ""], one), InvalidInput, "adding two ids with one text")
    expect(len(index) == 5, "an add that is refused must leave nothing behind")


def _check_text_ties(index: TextIndex) -> None:
    ids = np.random.default_rng(3).permutation(60)
    for part in np.split(ids, 4):
        index.add(part, [""] * len(part), ["the same words everywhere"] * len(part))
        _ = len(index)
    got = _found(index, "same words", k=7)
    expect(got == list(range(7)), f"equal texts must come in order of id, but came as {got}")
