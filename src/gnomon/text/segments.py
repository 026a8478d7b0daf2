"""A long text cut into parts that a splitter can take one at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from unicodedata import combining

SEGMENT_CHARACTERS = 200_000


def segments(
    text: str, headings: Sequence[int] = (), *, characters: int = SEGMENT_CHARACTERS
) -> Iterator[tuple[int, int]]:
    """Spans that cover the text, each of at most `characters`, the last of at most a quarter more.

    A cut falls before a heading where one starts in the span's second half, else at a paragraph, a line,
    a space, and in none of these anywhere.
    """
    start = 0
    while len(text) - start > characters * 5 // 4:
        end = _cut(text, headings, start + characters // 2, start + characters)
        yield start, end
        start = end
    if start < len(text):
        yield start, len(text)


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends; empty at `end` where there is nothing else."""
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    return start + left, max(start + left, start + len(part.rstrip()))


def _cut(text: str, headings: Sequence[int], low: int, high: int) -> int:
    heading = bisect_right(headings, high) - 1
    if heading >= 0 and headings[heading] > low:
        return headings[heading]
    for seam in ("\n\n", "\n", " "):
        found = text.rfind(seam, low, high)
        if found >= 0:
            return found + len(seam)
    cut = high
    # A mark or a joiner belongs to the character before it.
    while cut > high - 64 and (combining(text[cut]) or text[cut] in "\u200d\ufe0f"):
        cut -= 1
    return cut
