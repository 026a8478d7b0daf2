"""What Qdrant's server and Qdrant Edge have in common: filters, and the weights of words for BM25."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from gnomon.stores.fields import Order

WORDS = "words"
"""The name of the sparse vectors of words."""


@dataclass(frozen=True)
class QdrantWriter:
    """Filters of Qdrant, by the classes of its client or of its edge: a filter, a match of terms, a range."""

    filter: Callable[..., Any]
    match: Callable[[list[str]], Any]
    range: Callable[[str, Order, float], Any]

    def any_of(self, terms: Sequence[str]) -> Any:
        """One of the terms is in the list."""
        return self.match(list(terms))

    def none_of(self, terms: Sequence[str]) -> Any:
        """None of the terms is in the list."""
        return self.filter(must_not=[self.match(list(terms))])

    def bound(self, column: str, order: Order, *, value: float) -> Any:
        """A number's comparison."""
        return self.range(column, order, value)

    def all_of(self, parts: Sequence[Any]) -> Any:
        """All parts hold."""
        return self.filter(must=list(parts))

    def one_of(self, parts: Sequence[Any]) -> Any:
        """One part holds."""
        return self.filter(should=list(parts))


def word_weights(text: str, *, is_query: bool = False) -> Any:
    """The sparse vector of a text's words, as Qdrant's own BM25 weighs them; Qdrant adds how rare each word is."""
    model = _bm25()
    return model.embed_query(text) if is_query else model.embed_document(text)


@cache
def _bm25() -> Any:
    import qdrant_edge as edge

    # No stemming and no stop words: texts are of any language.
    none = edge.StopwordsSet(languages=set(), custom=set())
    config = edge.Bm25Config(stemmer=edge.DisabledStemmer(), stopwords=none, ascii_folding=True)
    return edge.Bm25(config)
