"""Queries, and the results of a search: rankings as arrays, hits for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput
from gnomon.core.locations import Location


@dataclass(frozen=True, slots=True)
class Query:
    """A search text. `where`, if set, is a sorted int64 array of the only chunk ids allowed."""

    text: str
    where: Int[np.ndarray, " allowed"] | None = None


@dataclass(frozen=True, eq=False)
class Ranking:
    """Chunk ids, best first, with scores that fall; `stages` keeps each stage's score (NaN: not found by it).

    `shares` are what stages add to the score: their sum is the score. Empty where the score is no such sum.

    Arrays, since a thousand candidates a query are fused: Hit objects are made for the few that are shown.
    Raises InvalidInput when the arrays differ in length.
    """

    ids: Int[np.ndarray, " k"]
    scores: Float[np.ndarray, " k"]
    stages: Mapping[str, Float[np.ndarray, " k"]] = field(default_factory=dict)
    shares: Mapping[str, Float[np.ndarray, " k"]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = (*self.stages.values(), *self.shares.values())
        lengths = {len(self.ids), len(self.scores), *map(len, columns)}
        if len(lengths) > 1:
            raise InvalidInput(f"a ranking of arrays with lengths {sorted(lengths)}", expected="one length")

    def __len__(self) -> int:
        return len(self.ids)

    def first(self, k: int) -> Ranking:
        """The best `k`."""
        stages, shares = ({name: s[:k] for name, s in each.items()} for each in (self.stages, self.shares))
        return Ranking(self.ids[:k], self.scores[:k], stages, shares)

    def take(self, places: Sequence[int]) -> Ranking:
        """Those at these places, in this order."""
        at = np.asarray(places, dtype=np.int64)
        stages, shares = ({name: s[at] for name, s in each.items()} for each in (self.stages, self.shares))
        return Ranking(self.ids[at], self.scores[at], stages, shares)

    @staticmethod
    def empty() -> Ranking:
        """A ranking without results."""
        return Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result: a chunk, its position in its document, and its scores.

    `start` and `end` are character offsets of `text` in the document. `stages` maps a stage's name
    ("dense", "lexical", …) to its own score, `shares` a stage's name to what it adds to the fused `score`, which is
    their sum (empty where the score is no such sum). `highlights` are (start, end) spans within `snippet`
    that match the query's words. `more` counts further chunks of the same document that were found. `copies` are
    the ids of other documents that hold this very passage, where equal passages are shown once. `location`
    is where the text stands in its file (lines, pages, rows), None where that is unknown.
    """

    chunk_id: int
    document: str
    score: float
    text: str
    snippet: str
    start: int
    end: int
    title: str = ""
    heading: tuple[str, ...] = ()
    source: str = ""
    stages: Mapping[str, float] = field(default_factory=dict)
    highlights: tuple[tuple[int, int], ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    more: int = 0
    copies: tuple[str, ...] = ()
    location: Location | None = None
    shares: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping. `chunk` is the chunk's id."""
        return {
            "score": self.score,
            "document": self.document,
            "chunk": self.chunk_id,
            "title": self.title,
            "heading": list(self.heading),
            "source": self.source,
            "start": self.start,
            "end": self.end,
            "text": self.text,
            "snippet": self.snippet,
            "highlights": [list(span) for span in self.highlights],
            "stages": dict(self.stages),
            "shares": dict(self.shares),
            "metadata": dict(self.metadata),
            "more": self.more,
            "copies": list(self.copies),
            "location": asdict(self.location) if self.location is not None else None,
        }
