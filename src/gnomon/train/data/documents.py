"""Examples made from documents: title and body, heading and section, consecutive spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Example

Make = Literal["titles", "headings", "spans"]
LEAST = 3
"""Words that a body, a section or a span must have."""


def title_pairs(documents: Iterable[Document]) -> Iterator[Example]:
    """Each document's title with its text, the title taken off the text's beginning."""
    for document in documents:
        title = " ".join(document.title.split())
        body = _without(document.text, title)
        if title and _is_long(body) and body != title:
            yield Example(title, (body,), (1.0,), document.source, document.id)


def heading_pairs(documents: Iterable[Document]) -> Iterator[Example]:
    """Each heading, the ones above it before it, with its section's text up to the next heading."""
    from gnomon.text.outline import Outline

    for document in documents:
        outline = Outline.of(document.text, document.media_type)
        starts = [*outline.starts, len(document.text)]
        for heading, end in zip(outline.headings, starts[1:], strict=True):
            section = document.text[heading.end : end].strip()
            if _is_long(section):
                path = outline.path(heading.start, heading.end)
                words = " > ".join(above.words for above in path)
                yield Example(words, (section,), (1.0,), document.source, f"{document.id}@{heading.start}")


def span_pairs(documents: Iterable[Document], *, words: int = 60) -> Iterator[Example]:
    """Spans of about so many words, each with the one that follows it; they end where sentences do.

    Neighbouring text as a weak label is the inverse cloze task's idea (Lee, Chang and Toutanova 2019,
    arXiv:1906.00300).
    """
    from gnomon.text.sentences import sentences

    if words < LEAST:
        raise InvalidInput(f"spans of {words} words", expected=f"at least {LEAST}", hint="60 is usual")
    for document in documents:
        spans = list(word_spans(sentences(document.text), words))
        for at, (one, following) in enumerate(pairwise(spans)):
            if one != following:
                yield Example(one, (following,), (1.0,), document.source, f"{document.id}@{at}")


def word_spans(parts: Iterable[str], words: int) -> Iterator[str]:
    """Sentences joined to spans of at least so many words; a last one of less than a third of them is left out."""
    held: list[str] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part.split())
        if count >= words:
            yield " ".join(held)
            held, count = [], 0
    if count >= max(LEAST, words // 3):
        yield " ".join(held)


def _without(text: str, title: str) -> str:
    """The text without a first line that repeats the title."""
    first, _, rest = text.strip().partition("\n")
    if title and " ".join(first.lstrip("# ").split()) == title:
        return rest.strip().lstrip("=-").strip()
    return text.strip()


def _is_long(text: str) -> bool:
    return len(text.split(maxsplit=LEAST)) >= LEAST


def read_documents(paths: Iterable[Path]) -> Iterator[Document]:
    """The documents of files and folders, with the readers that `gnomon index` has."""
    from gnomon.text.discover import discover
    from gnomon.text.read import read
    from gnomon.text.settings import ReadSettings

    settings = ReadSettings()
    for found in discover(list(paths), settings=settings):
        if not found.skipped:
            yield from read(found, settings=settings)


def from_documents(documents: Iterable[Document], make: Make) -> Iterator[Example]:
    """Examples made in one of the ways: titles, headings or spans."""
    makers = {"titles": title_pairs, "headings": heading_pairs, "spans": span_pairs}
    if make not in makers:
        raise InvalidInput(f"make = {make!r}", expected=f"one of {', '.join(makers)}")
    return makers[make](documents)
