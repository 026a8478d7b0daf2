"""A long text cut into parts that a splitter can take one at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from unicodedata import combining

SEGMENT_CHARACTERS = 200_000
LINE_CHARACTERS = 10_000
"""The splitter looks through the rest of a line for every chunk of it: its time is quadratic in the line."""


def segments(
    text: str,
    headings: Sequence[int] = (),
    *,
    characters: int = SEGMENT_CHARACTERS,
    line_characters: int = LINE_CHARACTERS,
) -> Iterator[tuple[int, int]]:
    """Spans that cover the text, each of at most 5/4 of `characters`.

    A cut falls before a heading where one starts in the span's second half, else at a paragraph, a line,
    a space, and in none of these anywhere. A line of more than `line_characters` is cut by itself, into
    spans of at most 5/4 of that.
    """
    start = 0
    while start < len(text):
        high = min(len(text), start + characters * 5 // 4)
        line = _long_line(text, start, high, line_characters)
        if line > start:
            end = line
        elif line == start:
            end = _within_line(text, start, line_characters)
        elif high == len(text):
            end = high
        else:
            end = _cut(text, headings, start + characters // 2, start + characters)
        yield start, end
        start = end


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends; empty at `end` where there is nothing else."""
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    return start + left, max(start + left, start + len(part.rstrip()))


def _long_line(text: str, start: int, high: int, longest: int) -> int:
    """Where the first line begins that has more than 5/4 of `longest` characters; -1 without one."""
    while start < high:
        end = text.find("\n", start, start + longest * 5 // 4 + 1)
        if end < 0:
            return start if len(text) - start > longest * 5 // 4 else -1
        start = end + 1
    return -1


def _within_line(text: str, start: int, longest: int) -> int:
    return _cut(text, (), start + longest // 2, start + longest)


def _cut(text: str, headings: Sequence[int], low: int, high: int) -> int:
    heading = bisect_right(headings, high) - 1
    if heading >= 0 and headings[heading] > low:
        return headings[heading]
    for seam in ("\n\n", "\n", ". ", "。", " "):
        found = text.rfind(seam, low, high)
        if found >= 0:
            return found + len(seam)
    cut = high
    # A mark or a joiner belongs to the character before it.
    while cut > high - 64 and (combining(text[cut]) or text[cut] in "\u200d\ufe0f"):
        cut -= 1
    return cut
