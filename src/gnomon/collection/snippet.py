"""The part of a chunk that shows why it was found."""

from __future__ import annotations

import re
from collections import Counter

_WORD = re.compile(r"\w+")
_STOP = frozenset(
    "a an and are as at be but by can could did do does for from had has have how i if in into is it its me "
    "my no not of on or should so that the their them then there these they this to was we were what when "
    "where which who why will with would you your".split()
)
LENGTH = 240
"""Characters of a snippet."""
_LEAD = 30
_INFLECTION = 4
"""Letters that a word may have beyond a stem and still be taken for its inflection."""


def highlighter(query: str) -> tuple[str, ...]:
    """The beginnings of the query's words that are worth showing, longest first; () where there are none."""
    words = {word for word in _WORD.findall(query.lower()) if word not in _STOP}
    return tuple(sorted({_stem(word) for word in words}, key=lambda stem: (-len(stem), stem)))


def _matches(text: str, stems: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Start, end and stem of each word that begins with a stem and goes on for at most 4 letters, in order.

    Plain searches: a regular expression of all stems, case ignored, takes five times as long.
    """
    low = text.lower()
    if len(low) != len(text):  # a few letters are two in lower case, and positions must stay
        low = "".join(letter.lower() if len(letter.lower()) == 1 else letter for letter in text)
    found: dict[int, tuple[int, str]] = {}
    for stem in stems:
        at = low.find(stem)
        while at >= 0:
            if at not in found and (at == 0 or not _is_letter(low[at - 1])):
                end, stop = at + len(stem), min(at + len(stem) + _INFLECTION + 1, len(low))
                while end < stop and _is_letter(low[end]):
                    end += 1
                if end - at - len(stem) <= _INFLECTION:
                    found[at] = (end, stem)
            at = low.find(stem, at + len(stem))
    return [(start, *found[start]) for start in sorted(found)]


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


def snippet(
    text: str, stems: tuple[str, ...], *, length: int = LENGTH
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The stretch of about `length` characters with most different matches, and their spans within it."""
    start = _best_start(text, _matches(text, stems) if len(text) > length else [], length)
    end = min(len(text), start + length)
    if end < len(text):
        cut = text.rfind(" ", start, end)
        end = cut if cut > start + length // 2 else end
    shown = " ".join(text[start:end].split())
    return shown, tuple((begin, stop) for begin, stop, _ in _matches(shown, stems))


def _best_start(text: str, matches: list[tuple[int, int, str]], length: int) -> int:
    """Where the window begins: a little before the match that opens the richest stretch, at a word."""
    if len(text) <= length or not matches:
        return 0
    best, where, right = 0, matches[0][0], 0
    inside: Counter[str] = Counter()
    for start, _, stem in matches:
        while right < len(matches) and matches[right][1] <= start + length - _LEAD:
            inside[matches[right][2]] += 1
            right += 1
        if len(inside) > best:
            best, where = len(inside), start
        inside[stem] -= 1
        if inside[stem] <= 0:
            del inside[stem]
    where = max(0, min(where - _LEAD, len(text) - length))
    if where < 2 * _LEAD:
        return 0  # a chunk's own beginning reads better
    space = text.find(" ", where, where + _LEAD)
    return space + 1 if space >= 0 else where


def _stem(word: str) -> str:
    """Enough of a word to know its inflections by: a guess for display, not for retrieval."""
    for ending in ("ing", "ies", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word
