"""Conformance check for vector stores: does a store refuse to mix the vectors of two models?

Two models of equal dimensions are the case that no length check detects: their vectors fit each other's index,
and the results are noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.testing.expect import fail

Outcome = Literal["refused", "kept apart", "mixed", "damaged"]
Way = Literal["add", "query", "cache"]

TEXTS = tuple(
    f"{subject} {rest}"
    for subject, rest in (
        ("amber", "hardens slowly under ancient pine bark"),
        ("bridges", "sway whenever heavy lorries cross"),
        ("copper", "roofs turn green after rainy decades"),
        ("drummers", "rehearse behind closed garage doors"),
        ("eels", "travel thousands of miles to spawn"),
        ("ferries", "leave the northern harbour hourly"),
        ("glaciers", "grind granite into pale flour"),
        ("hedgehogs", "hibernate below piles of leaves"),
        ("ink", "fades where sunlight reaches paper"),
        ("jugglers", "count beats rather than clubs"),
        ("kites", "need steady wind and long string"),
        ("lanterns", "marked each ship on foggy nights"),
    )
)


class Store(Protocol):
    """A store that is open with one model."""

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> object:
        """Put texts in; an id that is there already gets the new text."""
        ...

    def query(self, text: str, k: int) -> Sequence[str]:
        """The ids of the nearest texts, best first."""
        ...

    def close(self) -> object:
        """Release all resources, so that another process could open it."""
        ...


Open = Callable[[Path, Encoder], Store]
"""Opens the store in a folder with a model, as a user would; makes it where there is none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The outcome of one way of mixing two models in a store.

    "refused": with an error. "kept apart": the second model was accepted, and every text is still found by its
    own words. "mixed": the second model was accepted, and `lost` of the texts are not found any more.
    "damaged": it was refused, and the store no longer works with its own model. `words` is the error's message.
    """

    way: Way
    outcome: Outcome
    lost: int = 0
    words: str = ""


def try_to_mix(  # noqa: PLR0917 - two models, as people name them
    open_store: Open, folder: Path, first: Encoder, second: Encoder
) -> tuple[Attempt, ...]:
    """Three attempts in three folders below `folder`, which must be empty.

    add: texts of the second model into a store of the first. query: the first model's texts, searched with
    the second. cache: the same texts under the same ids again, with the second. Raises InvalidInput for
    models that are not of one dimension or are the same, and where the store does not find its own texts
    with one model alone.
    """
    if first.space.dim != second.space.dim or first.space == second.space:
        raise InvalidInput(
            f"the models {first.space.short} and {second.space.short}",
            expected="two models of one dimension, which a store can only tell apart by more than a length",
        )
    for name, encoder in (("one", first), ("two", second)):
        _require_sane(open_store, folder / name, encoder)
    half = len(TEXTS) // 2
    return (
        _attempt("add", open_store, folder / "add", models=(first, second), texts=(TEXTS[:half], TEXTS[half:])),
        _attempt("query", open_store, folder / "query", models=(first, second), texts=(TEXTS, ())),
        _attempt("cache", open_store, folder / "cache", models=(first, second), texts=(TEXTS, TEXTS)),
    )


def check_guard(open_store: Open, folder: Path, first: Encoder, second: Encoder) -> None:  # noqa: PLR0917
    """Raise AssertionError, naming the way, where a store mixes two models or refuses without a message."""
    for attempt in try_to_mix(open_store, folder, first, second):
        if attempt.outcome in ("mixed", "damaged"):
            fail(f"{attempt.way}: {attempt.outcome}; {attempt.lost} of {len(TEXTS)} texts are lost")
        if attempt.outcome == "refused" and not attempt.words:
            fail(f"{attempt.way}: refused without a message")


def _require_sane(open_store: Open, folder: Path, encoder: Encoder) -> None:
    folder.mkdir(parents=True)
    _put(open_store, folder, encoder, texts=TEXTS)
    if lost := _lost(open_store, folder, encoder, texts=TEXTS):
        raise InvalidInput(
            f"{encoder.space.short} alone: {lost} of {len(TEXTS)} texts are not the best for their own words",
            expected="a store that finds a text by itself",
            hint="the attempts would say nothing about it; check how it is opened",
        )


def _attempt(
    way: Way,
    open_store: Open,
    folder: Path,
    *,
    models: tuple[Encoder, Encoder],
    texts: tuple[Sequence[str], Sequence[str]],
) -> Attempt:
    folder.mkdir(parents=True)
    first, second = models
    _put(open_store, folder, first, texts=texts[0])
    try:
        _put(open_store, folder, second, texts=texts[1])
        lost = _lost(open_store, folder, second, texts=TEXTS)
    except Exception as error:  # noqa: BLE001 - any error is a refusal; what it says is kept
        lost = _lost(open_store, folder, first, texts=texts[0])
        return Attempt(way, "damaged" if lost else "refused", lost, " ".join(str(error).split()))
    return Attempt(way, "mixed" if lost else "kept apart", lost)


def _put(open_store: Open, folder: Path, encoder: Encoder, *, texts: Sequence[str]) -> None:
    store = open_store(folder, encoder)
    try:
        if texts:
            store.add([_id(text) for text in texts], texts)
    finally:
        store.close()


def _lost(open_store: Open, folder: Path, encoder: Encoder, *, texts: Sequence[str]) -> int:
    """How many texts are not the best hit for their own words."""
    store = open_store(folder, encoder)
    try:
        return sum(list(store.query(text, 1)) != [_id(text)] for text in texts)
    finally:
        store.close()


def _id(text: str) -> str:
    return text.split()[0]
