"""Splits documents into chunks that fit the encoder and know their offsets."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from unicodedata import combining

from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import InvalidInput
from gnomon.core.locations import Locator
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.token_counting import CountTokens, TokenCounting
from gnomon.text.outline import MARKDOWN_LIKE, Heading, Outline
from gnomon.text.token_counts import Ruler, TokenCounter

SEGMENT_CHARACTERS = 200_000
LINE_CHARACTERS = 10_000
"""The splitter looks through the rest of a line for every chunk of it: its time is quadratic in the line."""


def segments(
    text: str,
    headings: Sequence[int] = (),
    *,
    characters: int = SEGMENT_CHARACTERS,
    line_characters: int = LINE_CHARACTERS,
) -> Iterator[tuple[int, int]]:
    """Spans that cover the text, each of at most 5/4 of `characters`.

    A cut falls before a heading where one starts in the span's second half, else at a paragraph, a line,
    a space, and in none of these anywhere. A line of more than `line_characters` is cut by itself, into
    spans of at most 5/4 of that.
    """
    start = 0
    while start < len(text):
        high = min(len(text), start + characters * 5 // 4)
        line = _long_line(text, start, high, longest=line_characters)
        if line > start:
            end = line
        elif line == start:
            end = _within_line(text, start, line_characters)
        elif high == len(text):
            end = high
        else:
            end = _cut(text, headings, start + characters // 2, high=start + characters)
        yield start, end
        start = end


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without the white space at its ends; empty at `end` where there is nothing else."""
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    return start + left, max(start + left, start + len(part.rstrip()))


def _long_line(text: str, start: int, high: int, *, longest: int) -> int:
    """Where the first line begins that has more than 5/4 of `longest` characters; -1 without one."""
    while start < high:
        end = text.find("\n", start, start + longest * 5 // 4 + 1)
        if end < 0:
            return start if len(text) - start > longest * 5 // 4 else -1
        start = end + 1
    return -1


def _within_line(text: str, start: int, longest: int) -> int:
    return _cut(text, (), start + longest // 2, high=start + longest)


def _cut(text: str, headings: Sequence[int], low: int, *, high: int) -> int:
    heading = bisect_right(headings, high) - 1
    if heading >= 0 and headings[heading] > low:
        return headings[heading]
    for seam in ("\n\n", "\n", ". ", "。", " "):
        found = text.rfind(seam, low, high)
        if found >= 0:
            return found + len(seam)
    cut = high
    # A mark or a joiner belongs to the character before it.
    while cut > high - 64 and (combining(text[cut]) or text[cut] in "\u200d\ufe0f"):
        cut -= 1
    return cut


_LEAST_ROOM = 8
LONGEST_TITLE = 2_000
"""Characters of a title that can stand before a chunk."""


@dataclass(frozen=True)
class ChunkSettings:
    """How documents are cut. `max_tokens` is what fits the encoder, special tokens and prompt included.

    `overlap` is how many tokens at most neighbouring chunks share. `prepend_title` puts title and heading
    path before the text that is embedded. Raises InvalidInput for values that leave no room for text.
    """

    max_tokens: int
    overlap: int = 0
    prepend_title: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens < _LEAST_ROOM:
            raise InvalidInput(
                f"chunks of at most {self.max_tokens} tokens",
                expected=f"at least {_LEAST_ROOM} tokens",
                hint="take what the encoder reads, 256 or 512 for most",
            )
        if not 0 <= self.overlap <= self.max_tokens // 2:
            raise InvalidInput(
                f"an overlap of {self.overlap} tokens in chunks of at most {self.max_tokens}",
                expected=f"0 to {self.max_tokens // 2} tokens",
                hint="take a smaller overlap; an eighth of the chunk is plenty",
            )

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ChunkSettings:
        """The settings that `to_json` wrote."""
        return from_plain(cls, plain)


@dataclass(frozen=True, slots=True)
class _View:
    document: Document
    outline: Outline

    @property
    def text(self) -> str:
        return self.document.text


class Chunker:
    """Splits documents at headings, paragraphs, sentences, words, and at last characters.

    Tokens are counted by `count` (all that the encoder sees, as `Encoder.count_tokens` does) or else by
    `tokenizer_json` plus `overhead`, the tokens that the encoder adds itself. With both, `count` judges.
    `counting`, how an encoder says that it counts, stands for all three, and lets another process have this
    chunker: see `portable`. Markdown-like media are cut by markdown's structure. Time and memory are linear
    in the text: it is cut into segments of at most 250,000 characters first, between which there is no overlap.
    """

    def __init__(
        self,
        settings: ChunkSettings,
        *,
        tokenizer_json: str | None = None,
        count: CountTokens | None = None,
        overhead: int = 0,
        counting: TokenCounting | None = None,
    ) -> None:
        self._portable = counting is not None or (count is None and tokenizer_json is not None)
        if counting is None and tokenizer_json is not None:
            counting = TokenCounting(tokenizer_json, special_tokens=False, added=overhead)
        self._settings, self._counting = settings, counting
        self._measure = TokenCounter(counting, count)
        self._room = settings.max_tokens - self._measure.overhead
        if self._room < _LEAST_ROOM:
            raise InvalidInput(
                f"{settings.max_tokens} tokens a chunk, of which special tokens and prompt take "
                f"{self._measure.overhead}",
                expected=f"at least {_LEAST_ROOM} tokens for the text",
                hint="raise max_tokens or take a shorter prompt",
            )

    @property
    def portable(self) -> tuple[ChunkSettings, TokenCounting] | None:
        """What another process makes this chunker from; None where its counts are a function of this process."""
        return (self._settings, self._counting) if self._portable and self._counting else None

    @property
    def settings(self) -> ChunkSettings:
        """The settings it was made with."""
        return self._settings

    def unknown_share(self, text: str) -> float:
        """The share of a text's characters in tokens that the model does not know; 0 for one without a tokenizer."""
        return self._measure.unknown_share(text)

    def chunk(self, document: Document) -> list[Chunk]:
        """The document's chunks in order; none where there is only white space.

        Every character that is not white space is in at least one. `tokens` never exceeds max_tokens,
        but for a single character that alone has more.
        """
        return list(self.iterate(document))

    def iterate(self, document: Document) -> Iterator[Chunk]:
        """The same, one by one: for documents whose chunks should not all be in memory."""
        view = _View(document, Outline.of(document.text, document.media_type))
        locator = Locator(document.text, document.locations) if document.locations else None
        ordinal = 0
        for start, end in segments(document.text, view.outline.starts):
            for chunk in self._segment(view, start, end):
                location = locator.at(chunk.start, chunk.end) if locator else None
                yield replace(chunk, ordinal=ordinal, location=location)
                ordinal += 1

    def _segment(self, view: _View, start: int, end: int) -> list[Chunk]:
        start, end = stripped(view.text, start, end)
        if start == end:
            return []
        ruler = self._measure.ruler(view.text[start:end])
        if ruler.total <= self._settings.max_tokens:
            whole = self._counted([self._built(view, start, end, whole=True)])
            if whole[0].tokens <= self._settings.max_tokens:
                return whole
        paths = view.outline.longest_paths(start, end) or [()]
        reserved = max(self._measure.rough(self._prefix(view, path, "")) for path in paths)
        spans = self._split(view, ruler, self._room - reserved, overlap=self._settings.overlap)
        return _in_order(self._fitting(view, [(start + a, start + b) for a, b in spans]))

    def _fitting(self, view: _View, spans: Sequence[tuple[int, int]]) -> list[Chunk]:
        """Chunks of these spans, counted exactly; a span that is too long after all is cut again."""
        fitting: list[Chunk] = []
        for chunk in self._counted([self._built(view, start, end) for start, end in spans]):
            if chunk.tokens <= self._settings.max_tokens or chunk.end - chunk.start == 1:
                fitting.append(chunk)
            else:
                fitting += self._fitting(view, self._shorter(view, chunk.start, chunk.end))
        return fitting

    def _shorter(self, view: _View, start: int, end: int) -> list[tuple[int, int]]:
        ruler = self._measure.ruler(view.text[start:end])
        spans = self._split(view, ruler, max(1, ruler.total * 3 // 5), overlap=0)
        if len(spans) < 2:
            middle = (end - start) // 2
            spans = [(0, middle), (middle, end - start)]
        return [stripped(view.text, start + a, start + b) for a, b in spans]

    def _split(self, view: _View, ruler: Ruler, capacity: int, *, overlap: int) -> list[tuple[int, int]]:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter

        splitter = MarkdownSplitter if view.document.media_type in MARKDOWN_LIKE else TextSplitter
        cut = splitter.from_callback(ruler.size, capacity, min(overlap, capacity // 2), True)
        return [(start, start + len(part)) for start, part in cut.chunk_indices(ruler.text) if part.strip()]

    def _built(self, view: _View, start: int, end: int, *, whole: bool = False) -> Chunk:
        text = view.text[start:end]
        path = view.outline.path(start, end)
        above = tuple(heading for heading in path if heading.start < start)
        prefix = self._prefix(view, above, text, whole=whole)
        return Chunk(
            document_id=view.document.id,
            ordinal=0,
            start=start,
            end=end,
            text=text,
            embed_text=f"{prefix}\n{text}" if prefix else text,
            tokens=0,
            heading=tuple(heading.words for heading in path),
        )

    def _prefix(self, view: _View, above: Sequence[Heading], text: str, *, whole: bool = False) -> str:
        """Title and headings, as one line: whole, or cut from the outside in to a quarter of the room."""
        if not self._settings.prepend_title:
            return ""
        title = " ".join(view.document.title[:LONGEST_TITLE].split())
        parts = [heading.words for heading in above if heading.words != title]
        said = text.lstrip("# \t").startswith(title) or (parts and title in parts[0])
        if title and not said:
            parts.insert(0, title)
        most = self._room if whole else self._room // 4
        while len(parts) > 1 and self._measure.rough(" > ".join(parts)) > most:
            del parts[0]
        return self._cut_to(" > ".join(parts), most)

    def _cut_to(self, line: str, most: int) -> str:
        if not line or self._measure.rough(line) <= most:
            return line
        ruler = self._measure.ruler(line)
        ends = [*(space.start() for space in re.finditer(" ", line)), len(line)]
        fitting = bisect_right(ends, most, key=lambda end: ruler.between(0, end))
        return line[: ends[fitting - 1]] if fitting else ""

    def _counted(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        tokens = self._measure.exact([chunk.embed_text for chunk in chunks])
        return [replace(chunk, tokens=count) for chunk, count in zip(chunks, tokens, strict=True)]


def _in_order(chunks: Sequence[Chunk]) -> list[Chunk]:
    """By where they begin, without those that lie within the one before: cutting again can leave such."""
    kept: list[Chunk] = []
    for chunk in sorted(chunks, key=lambda chunk: (chunk.start, -chunk.end)):
        if not kept or chunk.end > kept[-1].end:
            kept.append(chunk)
    return kept
