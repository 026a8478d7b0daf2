"""Selects passages for an answer from search results: diverse, merged, within a token budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from gnomon.answer.settings import ContextSettings
from gnomon.answer.types import Passage
from gnomon.collection import Collection
from gnomon.core.contracts import Encoder
from gnomon.core.locations import Location
from gnomon.core.ranking import Hit, Ranking
from gnomon.kernels.diversity import mmr
from gnomon.kernels.ranking import min_max
from gnomon.kernels.similarity import cosine_matrix
from gnomon.text.sentences import spans

TokenCounter = Callable[[str], int]
"""A text to its length in tokens."""

_MAX_BLANK = 100
"""Characters of white space that may stand between chunks that touch."""
_CHARACTERS_PER_TOKEN = 16
"""Characters that count as one token at least: to some tokenizers a line of base64 is one unknown word."""


@dataclass(frozen=True)
class _DocumentSpan:
    """A span of a document and the chunks in it, as places among the hits: the lower, the better."""

    document: str
    start: int
    end: int
    places: tuple[int, ...]
    tokens: int = 0


def select_passages(kb: Collection, ranking: Ranking, settings: ContextSettings) -> tuple[Passage, ...]:
    """The passages that an answer may use, numbered from 1, best first; none for an empty ranking.

    `ranking` is of this collection's chunks. Chunks are taken in the order of maximal marginal relevance
    until the next would be one passage too many, or no longer fits; that one is cut at the end of a sentence.
    White space between chunks is not counted in the gap.
    A passage's text is its document's own text[start:end]. Chunks whose document has changed or gone since
    the search are passed over. Passages come in the order of their best chunks' ranks.
    """
    # What comes first is the better chunk: its place among the hits is its rank.
    hits = _without_duplicates(kb.hits("", ranking, k=settings.candidates))
    if not hits:
        return ()
    order = _by_marginal_relevance(kb, hits, settings)
    text_of = cache(lambda document: kb.text(document) or "")  # read once, so that all see the same text
    selected = _PassageAssembler(hits, text_of, token_counter(kb.encoder), settings).assemble(order)
    ordered = sorted(selected, key=lambda span: span.places)
    return tuple(
        _passage(number, span, hits, text=text_of(span.document)) for number, span in enumerate(ordered, start=1)
    )


def prompt_order(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    """The best passages at both ends, the worst in the middle: numbers 1, 3, 5, …, 6, 4, 2.

    Language models use least what stands in the middle: Liu et al. 2023, "Lost in the middle"
    (arXiv:2307.03172). Each keeps its number.
    """
    best_first = sorted(passages, key=lambda passage: passage.number)
    return tuple(best_first[::2] + best_first[1::2][::-1])


def token_counter(encoder: Encoder) -> TokenCounter:
    """Counts the tokens of a text itself: what the encoder adds (special tokens, a prompt) is left out."""

    def whole(text: str) -> int:  # one at a time: tokenizers start threads for a batch
        return encoder.count_tokens([text], role="document")[0]

    added = max(0, 2 * whole("a") - whole("a a"))

    def count(text: str) -> int:
        return max(whole(text) - added, -(-len(text) // _CHARACTERS_PER_TOKEN))

    return count


def _without_duplicates(hits: Sequence[Hit]) -> list[Hit]:
    """The hits without those whose text an earlier one has, white space aside."""
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(" ".join(hit.text.split()), hit)
    return list(first.values())


def _by_marginal_relevance(kb: Collection, hits: Sequence[Hit], settings: ContextSettings) -> list[int]:
    """Places among the hits in the order of marginal relevance, without near-duplicates.

    A chunk without a vector is similar to none. Scores are scaled to 0 to 1, to match cosines.
    """
    ids = np.array([hit.chunk_id for hit in hits], dtype=np.int64)
    found, vectors = kb.internals.lookups().vectors_of(ids)
    rows = np.zeros((len(ids), vectors.space.dim), dtype=np.float32)
    known = np.isin(ids, found)
    rows[known] = vectors.pooled()[np.searchsorted(found, ids[known])]
    relevance = min_max(np.array([hit.score for hit in hits], dtype=np.float64))
    taken = mmr(relevance, cosine_matrix(rows), diversity=settings.diversity, duplicate=settings.duplicate)
    return [int(place) for place in taken]


@dataclass(frozen=True)
class _PassageAssembler:
    """Merges chunks into passages, one after the other, under the limits of the settings."""

    hits: Sequence[Hit]
    text_of: Callable[[str], str]
    count: TokenCounter
    settings: ContextSettings

    def assemble(self, order: Sequence[int]) -> list[_DocumentSpan]:
        spans_so_far: list[_DocumentSpan] = []
        for place in order:
            hit = self.hits[place]
            alone = _DocumentSpan(hit.document, hit.start, hit.end, (place,))
            if self._text(alone) != hit.text:
                continue  # its document has changed or gone since the search
            adjacent = [span for span in spans_so_far if self._are_adjacent(span, alone)]
            apart = [span for span in spans_so_far if span not in adjacent]
            if len(apart) == self.settings.passages:
                break
            left = self.settings.budget_tokens - sum(span.tokens for span in apart)
            joined = self._with_tokens(_merge([*adjacent, alone]))
            if joined.tokens <= left:
                spans_so_far = [*apart, joined]
            elif not adjacent:  # a neighbour that does not fit is let go, and what comes next may
                truncated = self._truncate(joined, left, whole_sentences=bool(apart))
                return spans_so_far + ([truncated] if truncated else [])
        return spans_so_far

    def _with_tokens(self, span: _DocumentSpan) -> _DocumentSpan:
        return replace(span, tokens=self.count(self._text(span)))

    def _text(self, span: _DocumentSpan) -> str:
        return self.text_of(span.document)[span.start : span.end]

    def _are_adjacent(self, one: _DocumentSpan, other: _DocumentSpan) -> bool:
        """Whether they are of one document with at most `gap` characters between; white space is not one."""
        if one.document != other.document:
            return False
        first, second = sorted((one, other), key=lambda span: span.start)
        if second.start - first.end > self.settings.gap + _MAX_BLANK:
            return False
        between = self.text_of(one.document)[first.end : second.start]
        return len("".join(between.split())) <= self.settings.gap

    def _truncate(self, span: _DocumentSpan, left: int, *, whole_sentences: bool) -> _DocumentSpan | None:
        """The span up to the last sentence end that fits; None where none does.

        Where the answer would be left without any passage, words are cut off, and letters at last.
        """
        text = self._text(span)
        ends = [end for _, end in spans(text)] or [len(text)]
        if not whole_sentences:
            words = [at for at in range(1, len(text)) if text[at].isspace() and not text[at - 1].isspace()]
            for finer in (words, range(1, len(text) + 1)):
                if not self._fits(text[: ends[0]], left):
                    ends = list(finer) or ends
        low, high = 0, len(ends)  # the first `low` fit; more than `high` do not
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._fits(text[: ends[middle - 1]], left) else (low, middle - 1)
        return self._with_tokens(replace(span, end=span.start + ends[low - 1])) if low else None

    def _fits(self, text: str, left: int) -> bool:
        return self.count(text) <= left


def _merge(parts: Sequence[_DocumentSpan]) -> _DocumentSpan:
    places = sorted(place for part in parts for place in part.places)
    start, end = min(part.start for part in parts), max(part.end for part in parts)
    return _DocumentSpan(parts[0].document, start, end, tuple(places))


def _passage(number: int, span: _DocumentSpan, hits: Sequence[Hit], *, text: str) -> Passage:
    best = hits[span.places[0]]
    return Passage(
        number=number,
        document=best.document,
        text=text[span.start : span.end],
        start=span.start,
        end=span.end,
        score=best.score,
        title=best.title,
        heading=_common_headings([hits[place].heading for place in span.places]),
        source=best.source,
        chunk_ids=tuple(hits[place].chunk_id for place in span.places),
        stages=best.stages,
        metadata=best.metadata,
        location=_location(span, [hits[place] for place in span.places], text),
    )


def _location(span: _DocumentSpan, hits: Sequence[Hit], text: str) -> Location | None:
    """Where a span of a document stands, by the hits that it was merged from; it may have been cut short."""
    found = [hit.location for hit in hits if hit.location is not None]
    if len(found) < len(hits):
        return None
    whole = found[0]
    for each in found[1:]:
        whole = whole.united(each)
    start, end = min(hit.start for hit in hits), max(hit.end for hit in hits)
    return whole.within(text[start:end], span.start - start, span.end - start)


def _common_headings(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The headings that all of the paths share."""
    common = []
    for level in zip(*paths, strict=False):
        if len(set(level)) > 1:
            break
        common.append(level[0])
    return tuple(common)
