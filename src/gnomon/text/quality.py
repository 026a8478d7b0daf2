"""Is a text what its author wrote, and can the model read it? Checks that cost little beside chunking."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from gnomon.core.documents import Document

Kind = Literal["control characters", "mojibake", "unknown tokens", "boilerplate"]

_WINDOW, _TOKEN_WINDOW = 1_500, 250
"""Characters looked at in the beginning, the middle and the end of a text for mojibake, and for unknown tokens."""
_CONTROL_BYTES = bytes(code for code in (*range(32), 127) if code not in b"\t\n\v\f\r")
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\ue000-\uf8ff]")
_FOREIGN = re.compile("[^\x00-\x7f]+")
_MOST_CONTROL = 0.01
_LEAST_MOJIBAKE, _MOST_MOJIBAKE = 3, 0.1
_MOST_UNKNOWN = 0.3
_LEAST_FOREIGN = 3
_HINTS: dict[Kind, str] = {
    "control characters": "look at the file: it may be damaged, or a PDF whose fonts do not say which characters they "
    "show (ocrmypdf --force-ocr reads those)",
    "mojibake": "save it again in the encoding that it was written in, or repair it with ftfy",
    "unknown tokens": "take a model that knows its language: `gnomon models` lists them",
    "boilerplate": "take these lines out before indexing if search results look too much alike",
}
_PAGES, _SHARE_OF_PAGES = 5, 0.6
_FILES, _SHARE_OF_FILES, _MOST_FILES = 20, 0.5, 2_000
_SHORTEST_LINE = 20


@dataclass(frozen=True, slots=True)
class QualityRemark:
    """What is wrong with the texts of a file."""

    kind: Kind
    reason: str

    @property
    def hint(self) -> str:
        """What to do about it."""
        return _HINTS[self.kind]


def text_faults(text: str, unknown_share: Callable[[str], float] | None = None) -> Iterator[QualityRemark]:
    """What is wrong with a text: more than 1% control characters, replacement characters and characters of no
    meaning; mojibake, by the heuristic of ftfy (Speer 2019, doi:10.5281/zenodo.2591652); more than 30% of its
    characters in tokens that the model does not know. `unknown_share` gives that share.

    Mojibake is looked for in a sample of at most 4,500 characters, unknown tokens in 750.
    """
    if not text:
        return
    if example := _mojibake(_sample(text, _WINDOW)):
        yield QualityRemark("mojibake", f"its text looks as if read in a wrong encoding, such as {example!r}")
    elif (share := _control_share(text)) > _MOST_CONTROL:
        yield QualityRemark("control characters", f"{share:.0%} of its characters are control characters or no text")
    unknown = unknown_share(_sample(text, _TOKEN_WINDOW)) if unknown_share else 0.0
    if unknown > _MOST_UNKNOWN:
        yield QualityRemark("unknown tokens", f"the model does not know the tokens of {unknown:.0%} of its characters")


def _control_share(text: str) -> float:
    raw = text.encode("utf-8", "replace")
    if len(raw) == len(text):
        return (len(raw) - len(raw.translate(None, _CONTROL_BYTES))) / len(text)
    return sum(1 for _ in _CONTROL.finditer(text)) / len(text)


def _sample(text: str, window: int) -> str:
    if len(text) <= 3 * window:
        return text
    parts = [text[start : start + window] for start in (0, (len(text) - window) // 2, len(text) - window)]
    # Whole words, whose tokens are known from chunking.
    return "\n".join(part[part.find(" ") + 1 : part.rfind(" ") if " " in part else None] for part in parts)


def _mojibake(text: str) -> str:
    """An example of it; "" where there is none, or not enough to be sure."""
    foreign = 0 if text.isascii() else len(text.encode("utf-8", "replace")) - len(text)
    if foreign < _LEAST_FOREIGN:
        return ""
    from ftfy.badness import BADNESS_RE

    runs = [match.span() for match in _FOREIGN.finditer(text)]
    around = "\n".join(text[max(0, start - 2) : end + 2] for start, end in runs)
    found = [match.span() for match in BADNESS_RE.finditer(around)]
    if len(found) < max(_LEAST_MOJIBAKE, _MOST_MOJIBAKE * sum(end - start for start, end in runs)):
        return ""
    start, end = found[0]
    return " ".join(around[max(0, start - 4) : end + 4].split())


class QualityTally:
    """The faults of a file's documents, counted."""

    def __init__(self, unknown_share: Callable[[str], float] | None = None) -> None:
        self._unknown_share = unknown_share
        self._documents = 0
        self._faults: Counter[Kind] = Counter()
        self._first: dict[Kind, QualityRemark] = {}

    def add(self, document: Document) -> None:
        """Check one more document."""
        self._documents += 1
        for fault in (*text_faults(document.text, self._unknown_share), *_page_boilerplate(document)):
            self._faults[fault.kind] += 1
            self._first.setdefault(fault.kind, fault)

    def remarks(self) -> tuple[QualityRemark, ...]:
        """A remark for each kind of fault."""
        if self._documents == 1:
            return tuple(self._first.values())
        return tuple(
            QualityRemark(
                kind, f"{self._faults[kind]:,} of {self._documents:,} documents; in the first, {fault.reason}"
            )
            for kind, fault in self._first.items()
        )


def _page_boilerplate(document: Document) -> Iterator[QualityRemark]:
    starts = document.metadata.get("pages")
    if not isinstance(starts, list) or len(starts) < _PAGES:
        return
    ends = [*starts[1:], len(document.text)]
    lines = RepeatedLines()
    for start, end in zip(starts, ends, strict=True):
        lines.add(document.text[start:end])
    yield from lines.remarks("pages", _PAGES, _SHARE_OF_PAGES)


class RepeatedLines:
    """Lines that stand in many texts."""

    def __init__(self, most: int = _MOST_FILES) -> None:
        self._most, self._texts = most, 0
        self._lines: Counter[str] = Counter()

    def add(self, text: str) -> None:
        """Count the lines of one more text; of very many texts, the first ones are enough."""
        if self._texts < self._most:
            self._texts += 1
            self._lines.update({line for line in map(str.strip, _edges(text)) if len(line) >= _SHORTEST_LINE})

    def remarks(self, what: str, least: int = _FILES, share: float = _SHARE_OF_FILES) -> Iterator[QualityRemark]:
        """A remark where lines stand in more than `share` of at least so many texts."""
        if self._texts < least:
            return
        often = [(count, line) for line, count in self._lines.items() if count > share * self._texts]
        if often:
            count, line = max(often)
            rest = f", and {len(often) - 1} more such lines" if len(often) > 1 else ""
            reason = f"the line {line[:80]!r} stands in {count:,} of {self._texts:,} {what}{rest}"
            yield QualityRemark("boilerplate", reason)


def _edges(text: str) -> Sequence[str]:
    """The lines at the beginning and the end of a text, where boilerplate stands."""
    return [*text[:_WINDOW].split("\n")[:12], *text[-_WINDOW:].split("\n")[-12:]]
