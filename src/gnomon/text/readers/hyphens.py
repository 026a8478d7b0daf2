"""Joins words that a typesetter broke at the ends of lines."""

from __future__ import annotations

import re
from collections.abc import Sequence

BROKEN = "\ufffe"
"""Stands where a hyphen was at the end of a line (PDFium's sign for it)."""
_BREAK = re.compile(r"(?P<left>[^\W_]+)(?:\ufffe|[-\u00ad\u2010]\n[ \t]*)(?P<right>[^\W_]+)")
_WORD = re.compile(r"[^\W_]+(?:[-\u2010][^\W_]+)*")
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_LIGATURES = ("ff", "fi", "fl", "ffi", "ffl", "st", "st")


def join_broken_words(pages: Sequence[str]) -> list[str]:
    """The pages with ligatures as letters, and with words that were broken at line ends in one piece.

    A hyphen at a line's end may belong to the word. It is kept where the text has the word with a hyphen elsewhere
    and not without, where both parts are words of the text by themselves, and before a capital or a digit.
    """
    pages = [_LIGATURE.sub(lambda found: _LIGATURES[ord(found[0]) - 0xFB00], page) for page in pages]
    if not any(_BREAK.search(page) for page in pages):
        return [page.replace(BROKEN, "-") for page in pages]
    known = {word.lower() for page in pages for word in _WORD.findall(_BREAK.sub(" ", page))}
    return [_joined(page, known).replace(BROKEN, "-").replace("\u00ad", "-") for page in pages]


def _joined(page: str, known: set[str]) -> str:
    def whole(found: re.Match[str]) -> str:
        left, right = found["left"], found["right"]
        joined, hyphened = f"{left}{right}", f"{left}-{right}"
        if joined.lower() in known:
            return joined
        both = min(len(left), len(right)) > 2 and left.lower() in known and right.lower() in known
        apart = hyphened.lower() in known or both or not right[0].islower() or not left[-1].isalpha()
        return hyphened if apart else joined

    return _BREAK.sub(whole, page)
