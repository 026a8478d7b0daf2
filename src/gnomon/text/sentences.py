"""Splits text into sentences, not at abbreviations, initials or numbers; Chinese and Japanese too."""

from __future__ import annotations

import re

# An end: closing marks, quotes and brackets after them, and white space; after CJK marks none is needed.
_END = re.compile(r"""([.!?…]+["'”’»)\]]*)(?=\s)|([。！？｡]+[」』”’）]*)|(\n[ \t]*\n)""")
_ABBREVIATIONS = frozenset(
    "al approx apr art assoc aug ca cap cf ch chap co col corp dec dept dr ed eds eq eqs etc fig figs "
    "feb gen gov inc jan jr jul jun ltd mar max min mr mrs ms no nos nov nr oct op p pp par prof pt "
    "ref refs rev sec sep sept sr st tab vol vs viz bzw usw vgl abb".split()
)
_DOTTED = re.compile(r"(?:\w\.){2,}|[A-Z]\.")  # e.g., i.e., U.S., an initial


def sentences(text: str) -> list[str]:
    """The sentences of a text in order, white space within them made single.

    >>> sentences("Dr. Smith et al. measured 3.5 m (Fig. 2). It was short! Was it?")
    ['Dr. Smith et al. measured 3.5 m (Fig. 2).', 'It was short!', 'Was it?']
    >>> sentences("第一句。第二句！")
    ['第一句。', '第二句！']
    """
    return [" ".join(text[start:end].split()) for start, end in spans(text)]


def spans(text: str) -> list[tuple[int, int]]:
    """Where each sentence stands: text[start:end], without the white space around it, in order.

    >>> spans(" One.  Two!")
    [(1, 5), (7, 11)]
    """
    found: list[tuple[int, int]] = []
    start = 0
    for end in _END.finditer(text):
        if end.group(1) and not _closes(text, start, end):
            continue
        found.append((start, end.end()))
        start = end.end()
    found.append((start, len(text)))
    trimmed = (_trimmed(text, *span) for span in found)
    return [span for span in trimmed if span[0] < span[1]]


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _closes(text: str, start: int, end: re.Match[str]) -> bool:
    marks, after = end.group(1), text[end.end() : end.end() + 40].lstrip()
    if not after:
        return True
    if after[0].islower() and marks[0] != "." and marks[0] != "…":
        return True  # "What? he said" is rare; texts in lower case throughout are not
    if marks != ".":
        return True
    # Texts that are set with a space before each full stop have no abbreviations to be mistaken for.
    before = re.split(r"\s", text[max(start, end.start() - 40) : end.start()])[-1].lstrip("([\"'“‘")
    if before == "":
        return True
    return before.lower() not in _ABBREVIATIONS and not _DOTTED.fullmatch(before + ".")
