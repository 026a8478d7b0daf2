"""Blocks of a structured document written as markdown-like text, so that chunking sees its headings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gnomon.core.locations import Locations

_LOOKS_LIKE_HEADING = re.compile(r"^(?=#{1,6}(?:\s|$))", re.MULTILINE)
_BETWEEN = "\n\n"
_BACKTICKS = re.compile(r"`{3,}")


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of text that stands on lines of its own; `tight` ones follow each other without a gap.

    `line` is the line of the file at which it begins, 0 where that is unknown.
    """

    text: str
    tight: bool = False
    line: int = 0


GAP = Block("")


def heading(level: int, words: str) -> Block:
    """A heading line; levels beyond 6 are written as 6."""
    return Block(f"{'#' * min(max(level, 1), 6)} {' '.join(words.split())}")


def paragraph(words: str) -> Block:
    """A paragraph; a line that would read as a heading is escaped as markdown does."""
    return Block(_LOOKS_LIKE_HEADING.sub(r"\\", words) if "#" in words else words)


def item(words: str, depth: int = 0, *, mark: str = "-") -> Block:
    """An entry of a list, `depth` levels in; `mark` is its bullet or its number."""
    return Block(f"{'  ' * depth}{mark} {words}", tight=True)


def row(cells: Sequence[str]) -> Block:
    """A row of a table."""
    return Block(" | ".join(" ".join(cell.split()) for cell in cells).strip(" |"), tight=True)


def code(text: str) -> Block:
    """Text to keep as it is, in a fence longer than any inside."""
    longest = max((len(found[0]) for found in _BACKTICKS.finditer(text)), default=2)
    fence = "`" * (longest + 1)
    body = text.strip("\n").rstrip()
    return Block(f"{fence}\n{body}\n{fence}" if body.strip() else "")


def joined(blocks: Iterable[Block]) -> str:
    """The blocks' text, a blank line between those that are not both tight. GAP parts tight ones."""
    return located(blocks)[0]


def located(blocks: Iterable[Block]) -> tuple[str, Locations | None]:
    """The blocks' text, and its lines in the file where any of them are known."""
    parts: list[str] = []
    offsets: list[int] = []
    numbers: list[int] = []
    tight, at = False, 0
    for block in blocks:
        if block.text.strip():
            if parts:
                parts.append("\n" if tight and block.tight else "\n\n")
                at += len(parts[-1])
            if block.line > (numbers[-1] if numbers else 0):
                offsets.append(at)
                numbers.append(block.line)
            parts.append(block.text)
            at += len(block.text)
            tight = block.tight
        elif not block.tight:
            tight = False
    return "".join(parts), Locations("line", tuple(offsets), tuple(numbers), counted=True) if numbers else None


def joined_parts(texts: Sequence[str], unit: str) -> tuple[str, Locations | None]:
    """The texts of pages, slides, cells or chapters with an empty line between, and where each of them begins."""
    starts, at = [], 0
    for text in texts:
        starts.append(at)
        at += len(text) + len(_BETWEEN)
    return _BETWEEN.join(texts), Locations(unit, tuple(starts), tuple(range(1, len(texts) + 1))) if texts else None
