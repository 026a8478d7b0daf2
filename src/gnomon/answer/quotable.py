"""Quotable units of a text: sentences, list items, lists, blocks of code; and which of them stand by themselves."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from gnomon.text.sentences import spans

MAX_WORDS, MAX_CHARACTERS = 150, 1500
"""A longer unit is not quoted: it is a listing or a table without full stops."""
MAX_HEADING = 120
"""Characters of a line that a heading may have: a longer one is text whose line breaks were lost."""

Span = tuple[int, int]
_FENCE = re.compile(r"[ \t]*(?P<mark>`{3,}|~{3,})(?P<info>[^\n]*)")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_MARKS = re.compile(r"[ \t]*#{1,6}[ \t]+")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+|~+|\^+)[ \t]*$")
_ITEM = re.compile(r"(?P<indent>[ \t]*)(?P<mark>[-*+•–]|\(?\d{1,3}[.)])[ \t]+\S")
_ROW = re.compile(r"[ \t]*\||.*\S[ \t]\|[ \t]")
_SYNOPSIS = re.compile(r"[#\s]*(?:synopsis|usage|syntax|signature)[\s=~^-]*$", re.IGNORECASE)
_OPTION = re.compile(r"-{1,2}[\w?]|\S*[_<(\[=]|\S+ [<(\[]")
_MAX_TERM_WORDS = 8
_MAX_NAME_WORDS = 3
_LINES = re.compile(r"\n[ \t]*(?:`{3}|~{3}|[-*+•–][ \t]|\(?\d{1,3}[.)][ \t])|\n[ \t]*\n")
_LEAD = re.compile(r"(?:[:：]|\.\.\.|…)\W*$")

_LINK = r"[\[`*_(\"'“‘{]*"
_REFER = re.compile(
    r"\W*(?:(?:please |also )*(?:see|refer to|consult|compare|cf\.?)\b"
    r"|for\b[^.;]*\b(?:details?|information|explanations?|descriptions?|examples?|discussion|guide|list)\b"
    r"[^.;]*\b(?:see|refer|consult|check|visit|read)\b"
    r"|more (?:details?|information|examples?)\b[^.;]*\b(?:see|refer|available|found|in|at)\b"
    r"|(?:this|it|they|these|which|that|details?)\b[^.;]*\b(?:described|discussed|explained|documented|covered|shown)\b"
    r"[^.;]*\b(?:in|at|on|below|above|elsewhere)\b"
    r"|(?:the )?(?:following|next|previous|above|other) (?:sections?|chapters?|pages?|examples?)\b)",
    re.IGNORECASE,
)
_POINTER = re.compile(
    rf"\b(?:see|refer to|described in|discussed in)(?: also)? (?:the )?{_LINK}"
    r"(?:sections?|chapters?|appendix|tables?|figures?|part|below|above)\b|\{ref\}|:ref:|"
    rf"\(see {_LINK}[^)]*\)",
    re.IGNORECASE,
)
_DEPENDENT = re.compile(
    r"(?:this|these|those|that|it|they|he|she|such|its|their|however|but|also|then|thus|therefore|hence|otherwise|"
    r"in (?:this|that|these|such) cases?|for (?:this|that|these) |likewise|similarly|moreover|instead|again|so|here)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(
    r"!!!|:::|\.\. |<!--|<[a-z/][^>]*>\s*$|!\[[^\]]*\]\([^)]*\)\s*$|\([\w-]+\)=\s*$|[=~^*_|\s:-]+$|\[[^\]]+\]:\s"
    r"|\[\[\[|\]\]\]|(?:\*\*|__)[^*_]+(?:\*\*|__):?\s*$|#{1,6}(?:\s|$)",
)
_ENDED = re.compile(r"[.!。！…;][\"'”’»)\]*_`]*$")
_MIN_LETTERS = 6
_MIN_WORDS = 6
"""Words of a text without a full stop, below which it is a heading or a name."""


@dataclass(frozen=True, slots=True)
class _Block:
    kind: Literal["paragraph", "heading", "code", "list", "table"]
    start: int
    end: int
    closed: bool = True


def quotable_units(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The units that lie wholly within text[start:end], each text[unit[0]:unit[1]], in order.

    A sentence is one, and so is an item of a list; a list or a block of code is one together with the sentence that
    introduces it, and the name of an option together with the first sentence on it. Units may overlap: an item, and
    the list that it is in. Headings and what stands under "Synopsis" are none.

    >>> text = "# Keys\\n\\nMake one:\\n```\\nkeygen\\n```\\nThey expire. Then:\\n- stop it\\n- start it"
    >>> [text[a:b] for a, b in quotable_units(text)]
    ['Make one:\\n```\\nkeygen\\n```', 'They expire.', 'Then:\\n- stop it\\n- start it', '- stop it', '- start it']
    """
    end = len(text) if end is None else end
    found = {
        (left, right)
        for left, right in _units(text, start, end)
        if start <= left and right <= end and right - left <= MAX_CHARACTERS
        if len(text[left:right].split()) <= MAX_WORDS
    }
    return sorted(found)


def _units(text: str, start: int, end: int) -> Iterator[Span]:
    lead: Span | None = None
    term: _Block | None = None
    heading = ""
    blocks = list(_blocks(text))
    for number, block in enumerate(blocks):
        if block.kind == "heading":
            heading = text[block.start : block.end]
        # The last block before the start may introduce the first one after it.
        is_before = block.end < start and all(after.end < start for after in blocks[number + 1 : number + 2])
        if is_before or block.start > end or block.kind == "heading" or _SYNOPSIS.match(heading):
            lead = term = None
        elif block.kind == "code":
            if block.closed:
                yield (block.start if lead is None else lead[0], block.end)
            lead = term = None
        elif block.kind == "list":
            yield from _items(text, block, lead)
            lead = term = None
        elif block.kind == "table":
            yield from _lines(text, block)
            lead = term = None
        elif _is_term(text[block.start : block.end]):
            term, lead = block, None
        else:
            own = [(block.start + left, block.start + right) for left, right in spans(text[block.start : block.end])]
            if term is not None and own:
                own[0] = (term.start, own[0][1])
            lead, term = _lead(text, own, blocks[number + 1 : number + 2]), None
            yield from own if lead is None else own[:-1]


def _lead(text: str, own: list[Span], following: list[_Block]) -> Span | None:
    """The last sentence, where it introduces the block that follows."""
    kind = following[0].kind if following else ""
    if not own or kind not in ("code", "list"):
        return None
    announces = _LEAD.search(text[own[-1][0] : own[-1][1]])
    return own[-1] if announces or kind == "code" else None


def _items(text: str, block: _Block, lead: Span | None) -> Iterator[Span]:
    """A list's items, and the whole of it; where it is numbered its items are steps, and only the whole is one."""
    lines = [line for line in _lines(text, block) if text[line[0] : line[1]].strip()]
    indents = {line: len(_line_start(text, line[0])) for line in lines if _ITEM.match(text[line[0] : line[1]])}
    outer = [line for line, indent in indents.items() if indent == min(indents.values())]
    whole = (block.start if lead is None else lead[0], block.end)
    yield whole
    if not text[outer[0][0]].isdigit() or len(text[whole[0] : whole[1]].split()) > MAX_WORDS:
        for first, after in pairwise([*outer, (block.end, block.end)]):
            yield (first[0], first[0] + len(text[first[0] : after[0]].rstrip()))


def _line_start(text: str, at: int) -> str:
    """The white space between the start of a line and a place in it."""
    return text[text.rfind("\n", 0, at) + 1 : at]


def _lines(text: str, block: _Block) -> Iterator[Span]:
    at = block.start
    for line in text[block.start : block.end].splitlines(keepends=True):
        left, right = at + len(line) - len(line.lstrip()), at + len(line.rstrip())
        at += len(line)
        if left < right:
            yield left, right


def _is_term(paragraph: str) -> bool:
    """Whether it is the name of an option or a function, on lines of its own, as above its description."""
    lines = paragraph.splitlines()
    return all(
        len(line.split()) <= _MAX_TERM_WORDS and _OPTION.match(line.strip()) and not line.rstrip().endswith((".", ":"))
        for line in lines
    )


def _blocks(text: str) -> Iterator[_Block]:
    """The blocks of markdown-like text, in order. One pass over its lines."""
    kind: Literal["paragraph", "list", "table"] | None = None
    fence, start, last, blank = "", 0, 0, False  # `last`: the end of the block's last line with text

    for line in re.finditer(r"[^\n]*\n?", text):
        at, own = line.start(), line[0].rstrip()
        if not line[0]:
            break
        mark = _FENCE.match(own)
        if fence:
            if mark and mark["mark"][0] == fence[0] and len(mark["mark"]) >= len(fence) and not mark["info"].strip():
                yield _Block("code", start, at + len(own))
                fence = ""
            continue
        indent = len(own) - len(own.lstrip())
        if kind == "paragraph" and not blank and _UNDERLINE.match(own) and "\n" not in text[start:last]:
            yield _Block("heading", start, at + len(own))
            kind = None
            continue
        new = _line_kind(own)
        if kind == "list" and own and (new == "list" or not blank or indent >= 2) and not mark and new != "heading":
            new = "list"
        if kind is not None and (new != kind or (blank and kind == "paragraph")):
            if own:
                yield _Block(kind, start, last)
                kind = None
        elif mark and kind is not None:
            yield _Block(kind, start, last)
            kind = None
        blank = not own
        if mark:
            fence, start = mark["mark"], at + indent
        elif new == "heading":
            yield _Block("heading", at, at + len(own))
        elif own:
            start, kind = (start, kind) if kind == new else (at + indent, new)
            last = at + len(own)
    if fence:
        yield _Block("code", start, len(text), closed=False)
    elif kind is not None:
        yield _Block(kind, start, last)


def _line_kind(line: str) -> Literal["heading", "list", "table", "paragraph"]:
    if _HEADING.match(line) and len(line) <= MAX_HEADING:
        return "heading"
    if _ITEM.match(line):
        return "list"
    return "table" if _ROW.match(line) else "paragraph"


def stands_alone(unit: str) -> bool:
    """Whether a unit says something by itself.

    Questions, announcements, headings, markup, cross-references and code without a word before it do not.

    >>> [stands_alone(one) for one in ("See Section 9.7.3.", "Which one?", "Do this:", "Keys expire after a day.")]
    [False, False, False, True]
    """
    if _FENCE.match(unit) or unit.count("```") % 2:  # code that nothing introduces, or a part of some
        return False
    if sum(map(str.isalpha, unit)) < _MIN_LETTERS:
        return False
    if is_block(unit):
        return True
    if unit.endswith(("?", "？", ":", "：")) or _MARKUP.match(unit):
        return False
    if _REFER.match(_ITEM.sub(lambda item: item[0][-1], unit, count=1)):
        return False
    if len(cells := unit.split(" | ")) > 1:
        return any(len(cell.split()) > _MAX_NAME_WORDS for cell in cells)
    if _ITEM.match(unit) or _ENDED.search(unit):
        return True
    return len(unit.split()) >= _MIN_WORDS and not re.search(r"\[[^\]\n]*\]", unit)


def without_headings(text: str, unit: Span, headings: Collection[str]) -> Span:
    """The unit without the marks of a heading, and the words of one that is known, at its start.

    Where line breaks were lost, a heading and the sentence after it are one line.
    """
    left, right = unit
    marks = _MARKS.match(text, left, right)
    if marks is None:
        return unit
    known = [one for one in headings if one and text.startswith(one, marks.end())]
    left = marks.end() + max(map(len, known), default=0)
    return left + len(text[left:right]) - len(text[left:right].lstrip()), right


def is_block(unit: str) -> bool:
    """Whether it has lines that must stay lines: code, a list, an option with its description."""
    return bool(_LINES.search(unit))


def refers_elsewhere(unit: str) -> bool:
    """Whether a unit points to another place, such as "(see Section 3)", beside what it says."""
    return bool(_POINTER.search(unit))


def is_dependent(unit: str) -> bool:
    """Whether a unit begins with a word that refers to the sentence before it."""
    return bool(_DEPENDENT.match(unit))
