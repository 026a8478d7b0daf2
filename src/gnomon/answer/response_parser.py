"""Parses a language model's reply, as it arrives, into sentences, list items, code and markers such as [1]."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gnomon.text.sentences import spans

# [1], [1, 2], [1-3], [^1], 【1】, [passage 1]; four digits are a year.
_MARKER = re.compile(
    r"[\[【]\^?(?:(?:passages?|sources?|documents?|docs?|refs?)\s*)?"
    r"(?P<numbers>\d{1,3}(?:\s*(?:[,;–-]|and|&)\s*\^?\d{1,3})*)\s*[\]】]",
    re.IGNORECASE,
)
_OPEN_MARKER = re.compile(r"[\[【]\^?[A-Za-z]{0,9}[\d\s,;–&^-]*$")
_UNCLOSED_MARKER = re.compile(r"[\[【]\^?[\d\s,;–&^-]*$")  # at the reply's very end: a marker that was never closed
_RANGE = re.compile(r"(\d+)(?:\s*[–-]\s*(\d+))?")
_INSIDE = "x"  # stands before a tail that does not begin a line
_MAX_CITED = 20  # [1-999] names no passage
_CODE_BLOCK = re.compile(r"^[ \t]*```[^\n]*\n(?:.*?\n)??[ \t]*```[ \t]*$|^[ \t]*```.*\Z", re.MULTILINE | re.DOTALL)
_CODE = re.compile(rf"{_CODE_BLOCK.pattern}|`[^`\n]+`", re.MULTILINE | re.DOTALL)
# What marks a line as a thing of its own; it is no part of the sentence.
_ITEM = re.compile(r"^[ \t]*(?:[-*•+>]|#{1,6}|\d{1,3}[.)])[ \t]+|^[ \t]*(?=\|)", re.MULTILINE)
_MAY_END = re.compile(r"[.!?…。！？｡\n]")
_ENDED = re.compile(r"""[.!?…。！？｡][”"'’»)\]」』）*_`\s]*$""")
_EMPTY = re.compile(r"\s*(?:\((?:see|cf\.?)?\s*\)|\[\s*\])", re.IGNORECASE)
_BEFORE_STOP = re.compile(r"\s+(?=[.,;:!?)](?:\s|$)|[。！？｡，、；：])")


@dataclass(frozen=True, slots=True)
class ParsedSentence:
    """A sentence of a reply.

    `before` is what stands between it and the one before: white space, and what marks an item of a list.
    `text` is without markers, `cited` are the numbers in them. It is not `whole` where the reply was cut off
    in its middle.
    """

    before: str
    text: str
    cited: tuple[int, ...] = ()
    whole: bool = True


@dataclass(frozen=True, slots=True)
class _Span:
    """A sentence at [start:stop], its markers up to `end`."""

    start: int
    stop: int
    end: int
    code: bool


class ResponseParser:
    """Takes a reply piece by piece and yields its sentences as soon as each is whole."""

    def __init__(self) -> None:
        self._tail, self._has_output = "", False

    @property
    def pending(self) -> str:
        """The text that is no whole sentence yet."""
        return self._tail

    def add(self, piece: str) -> Iterator[ParsedSentence]:
        """The sentences that are whole now: those after which another one has begun."""
        self._tail += piece
        if _MAY_END.search(self._tail):
            yield from self._take(ended=False)

    def rest(self, *, cut_off: bool) -> Iterator[ParsedSentence]:
        """What is left at the end. With `cut_off` a last sentence without an end mark is not whole."""
        found = list(self._take(ended=True))
        for number, one in enumerate(found, 1):
            whole = not cut_off or number < len(found) or bool(_ENDED.search(one.text))
            yield replace(one, whole=whole)

    def _take(self, *, ended: bool) -> Iterator[ParsedSentence]:
        """Takes sentences off the tail: all of them, or all but the last."""
        at = len(_INSIDE) if self._has_output else 0
        text = _INSIDE[:at] + self._tail
        found = _sentence_spans(text, at, ended=ended)
        for span in found if ended else found[:-1]:
            yield self._parsed(text, at, span)
            at = span.end
            self._has_output, self._tail = True, text[at:]
        if ended:
            self._tail = ""

    def _parsed(self, text: str, at: int, span: _Span) -> ParsedSentence:
        hidden = _blanked(text, _markers(text[: span.start]))
        marked = [text[max(a, at) : b] for a, b in _markers(text[: span.end]) if b > at]
        cited = dict.fromkeys(number for marker in marked for number in _numbers(marker))
        own = text[span.start : span.stop]
        before = _between(hidden[at : span.start], first=not self._has_output)
        return ParsedSentence(before, own if span.code else _tidy(own), tuple(cited))


def _sentence_spans(text: str, at: int, *, ended: bool) -> list[_Span]:
    """Where the sentences stand. A marker after a sentence's end is its own; what has no letter is none."""
    begun = (_UNCLOSED_MARKER if ended else _OPEN_MARKER).search(text)
    markers = _markers(text)
    hidden = _blanked(text, [*markers, *([begun.span()] if begun else [])])
    found = [
        (start, stop, code) for start, stop, code in _sentences(hidden, at) if any(map(str.isalnum, hidden[start:stop]))
    ]
    result: list[_Span] = []
    for number, (start, stop, code) in enumerate(found):
        following = found[number + 1][0] if number + 1 < len(found) else len(text)
        end = stop
        for left, right in markers:
            if stop <= left < following and not hidden[end:left].strip(" \t\n.,;:"):
                end = right
        result.append(_Span(start, stop, end, code))
    return result


def _markers(text: str) -> list[tuple[int, int]]:
    code = [found.span() for found in _CODE.finditer(text)] if "`" in text else []
    return [
        found.span() for found in _MARKER.finditer(text) if not any(start <= found.start() < end for start, end in code)
    ]


def _blanked(text: str, parts: Sequence[tuple[int, int]]) -> str:
    for start, end in parts:
        text = text[:start] + " " * (end - start) + text[end:]
    return text


def _sentences(text: str, at: int) -> Iterator[tuple[int, int, bool]]:
    """The sentences of prose and of list items, and blocks of code as one each."""
    blocks = [found.span() for found in _CODE_BLOCK.finditer(text)] if "```" in text else []
    for start, end in [*blocks, (len(text), len(text))]:
        for left, right in _lines(text, at, start):
            for first, last in spans(text[left:right]):
                yield left + first, left + last, False
        if start < end:
            yield start, end, True
        at = end


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of prose between what begins items of a list, which is in none of them."""
    at = start
    for item in _ITEM.finditer(text, start, end):
        yield at, item.start()
        at = item.end()
    yield at, end


def _numbers(marker: str) -> Iterator[int]:
    for found in _RANGE.finditer(marker):
        first, last = int(found[1]), int(found[2] or found[1])
        yield from range(first, min(last, first + _MAX_CITED) + 1)


def _tidy(text: str) -> str:
    """A sentence without its markers, and without the gaps and empty brackets that they leave."""
    bare = _blanked(text, _markers(text))
    if bare != text:
        bare = _BEFORE_STOP.sub("", _EMPTY.sub("", bare))
    return " ".join(bare.split())


def _between(gap: str, *, first: bool) -> str:
    """What to put before a sentence: a space or new lines, then what marks the item."""
    item = next((found.group().rstrip() + " " for found in _ITEM.finditer(gap) if found.end() == len(gap)), "")
    lines = gap.count("\n")
    space = "\n\n" if lines > 1 else "\n" if lines else " " if gap else ""
    return ("" if first else space) + item
