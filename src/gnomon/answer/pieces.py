"""A passage in pieces that can be quoted: sentences, and parts of what is too long for one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gnomon.evaluate.sentences import spans

MOST_WORDS = 60
"""Words of a piece; what is longer is a table, code or a list, and is cut at the ends of clauses."""
_FEWEST_WORDS = 12
_MOST_LETTERS = 600  # a script without spaces has no words to count
# Lines that begin a thing of their own: list items, headings, rows of a table, fences of code.
_LINE = re.compile(r"\n(?=[ \t]*(?:[-*+•|>]|#{1,6}|\d{1,3}[.)])[ \t])|\n(?=[ \t]*(?:```|\|))|(?<=\|)[ \t]*\n")
_HEADING = re.compile(r"(?:^|(?<=\n))[ \t]*#{1,6}[ \t][^\n]*(\n)")
_CLAUSE = re.compile(r"[;:,)\]|](?=\s)|[，、；：]|\s[—–-](?=\s)|\n")
_WORD = re.compile(r"\S+")


def pieces(text: str) -> list[tuple[int, int]]:
    """Where each piece stands: text[start:end], in order, without the white space around it.

    >>> text = "Two steps. Then:\\n- stop it\\n- start it"
    >>> [text[a:b] for a, b in pieces(text)]
    ['Two steps.', 'Then:', '- stop it', '- start it']
    """
    found: list[tuple[int, int]] = []
    for start, end in spans(text):
        for line in _between(text, start, end, _line_cuts(text, start, end)):
            found += _short(text, *line)
    return found


def _line_cuts(text: str, start: int, end: int) -> list[int]:
    cuts = {found.start() for found in _LINE.finditer(text, start, end)}
    cuts |= {found.start(1) for found in _HEADING.finditer(text, start, end)}
    return sorted(cuts)


def _between(text: str, start: int, end: int, cuts: list[int]) -> Iterator[tuple[int, int]]:
    for left, right in zip([start, *cuts], [*cuts, end], strict=True):
        part = text[left:right]
        left, right = left + len(part) - len(part.lstrip()), left + len(part.rstrip())
        if left < right:
            yield left, right


def _short(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span itself, or parts of it that are short enough."""
    cuts: list[int] = []
    at = start
    while True:
        words = [word.end() for word in _WORD.finditer(text, at, end)]
        last = min(words[MOST_WORDS - 1] if len(words) > MOST_WORDS else end, at + _MOST_LETTERS)
        if last >= end:
            return list(_between(text, start, end, cuts))
        least = min(words[_FEWEST_WORDS - 1] if len(words) >= _FEWEST_WORDS else at, last)
        ends = [clause.end() for clause in _CLAUSE.finditer(text, least, last)]
        space = max(text.rfind(" ", at + 1, last), text.rfind("\n", at + 1, last))
        at = (
            ends[-1] if ends and ends[-1] > at else space if len(words) <= MOST_WORDS and space > at else last
        )
        cuts.append(at)
