"""The headings of a markdown-like text and their positions."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nlargest

MARKDOWN_LIKE = frozenset(
    {
        "text/markdown",
        "text/html",
        "text/x-rst",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    }
)
"""Media whose text, after reading, marks headings as markdown does."""

_LINE = re.compile(
    r"^ {0,3}(?:(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)"
    r"|(?P<marks>#{1,6})(?:[ \t]+(?P<words>[^\n]*))?$"
    r"|(?P<over>[^\s>|#*+\-=`~][^\n]*)\n {0,3}(?P<under>={2,}|-{2,})[ \t]*$)",
    re.MULTILINE,
)
_LONGEST = 500
"""Characters of a heading line that make its words: a longer one is no heading that anybody wrote."""
_INLINE = re.compile(r"!?\[([^\]\n]{0,200})\]\([^)\n]{0,400}\)|[*`]+|(?<!\w)_+|_+(?!\w)")
_FEW = 4
_CLOSING_MARKS = re.compile(r"(?:^|[ \t])#+[ \t]*$")


@dataclass(frozen=True, slots=True)
class Heading:
    """One heading line: its span in the text, its level (1 is outermost) and its words."""

    start: int
    end: int
    level: int
    words: str


class Outline:
    """All headings of a text, with the path that holds at each."""

    def __init__(self, text: str, headings: tuple[Heading, ...]) -> None:
        self._text = text
        self.headings = headings
        self.starts = [heading.start for heading in headings]
        self._paths = list(_paths(headings))

    @classmethod
    def of(cls, text: str, media_type: str) -> Outline:
        """The outline of markdown-like text; an empty one for other media."""
        return cls(text, tuple(find_headings(text)) if media_type in MARKDOWN_LIKE else ())

    def path(self, start: int, end: int) -> tuple[Heading, ...]:
        """The headings above a span, outermost first.

        A heading that the span itself begins with counts: such a span lies in the section it opens.
        """
        at = bisect_right(self.starts, start) - 1
        begin = start if at < 0 or self.starts[at] < start else self.headings[at].end
        last = bisect_right(self.starts, end - 1) - 1
        while at < last and not self._text[begin : self.starts[at + 1]].strip():
            at += 1
            begin = self.headings[at].end
        return self._paths[at] if at >= 0 else ()

    def longest_paths(self, start: int, end: int) -> list[tuple[Heading, ...]]:
        """Of the paths that hold somewhere in the span those with the most characters, a few."""
        first = max(0, bisect_right(self.starts, start) - 1)
        paths = self._paths[first : bisect_right(self.starts, end)]
        return nlargest(_FEW, paths, key=lambda path: sum(len(heading.words) for heading in path))


def find_headings(text: str) -> Iterator[Heading]:
    """Headings in the order of the text; `#` inside fenced code is none. One pass, linear in the text."""
    fence = ""
    for line in _LINE.finditer(text):
        mark = line["fence"]
        if mark and not fence:
            # A backtick fence may not hold a backtick in its info string: that is inline code.
            fence = "" if mark[0] == "`" and "`" in line["info"] else mark
        elif mark and mark[0] == fence[0] and len(mark) >= len(fence) and not line["info"].strip():
            fence = ""
        elif not mark and not fence:
            level = len(line["marks"]) if line["marks"] else (1 if line["under"][0] == "=" else 2)
            words = _plain((line["words"] or line["over"] or "")[:_LONGEST])
            if words:
                yield Heading(line.start(), line.end(), level, words)


def _plain(words: str) -> str:
    without_closing = _CLOSING_MARKS.sub("", words.strip())
    return _INLINE.sub(lambda found: found[1] or "", without_closing).strip()


def _paths(headings: tuple[Heading, ...]) -> Iterator[tuple[Heading, ...]]:
    path: tuple[Heading, ...] = ()
    for heading in headings:
        path = (*(outer for outer in path if outer.level < heading.level), heading)
        yield path
