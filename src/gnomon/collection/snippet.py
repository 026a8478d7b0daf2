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


def highlighter(query: str) -> re.Pattern[str] | None:
    """A pattern for the query's words and their inflections, None where it has none worth showing."""
    words = {word for word in _WORD.findall(query.lower()) if word not in _STOP}
    if not words:
        return None
    stems = sorted({_stem(word) for word in words}, key=lambda stem: (-len(stem), stem))
    return re.compile(r"\b(?:" + "|".join(re.escape(stem) for stem in stems) + r")\w{0,4}\b", re.IGNORECASE)


def snippet(
    text: str, pattern: re.Pattern[str] | None, *, length: int = LENGTH
) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The stretch of about `length` characters with most different matches, and their spans within it."""
    found = [] if pattern is None else pattern.finditer(text)
    matches = [(*match.span(), _stem(match.group().lower())) for match in found]
    start = _best_start(text, matches, length)
    end = min(len(text), start + length)
    if end < len(text):
        cut = text.rfind(" ", start, end)
        end = cut if cut > start + length // 2 else end
    shown = " ".join(text[start:end].split())
    spans = () if pattern is None else tuple(match.span() for match in pattern.finditer(shown))
    return shown, spans


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
