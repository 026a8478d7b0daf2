"""A hybrid search goes on by words alone where the model's server, or the vectors' engine, does not answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

from gnomon.collection.settings import Mode
from gnomon.core.contracts import Retriever
from gnomon.core.errors import ProviderFailed, ServerUnreachable, WordsOnly
from gnomon.core.ranking import Query, Ranking


class WordsIfUnreachable:
    """A search's retriever, and one by words alone in its place once a server failed: then it warns WordsOnly.

    `retriever` makes that of a mode, `mode` is None for the collection's own, which `default` tells. A search by
    meaning alone raises the error. Not for evaluations: such results are of another system than the one they name.
    """

    def __init__(
        self, retriever: Callable[[Mode | None], Retriever], mode: Mode | None, default: Callable[[], Mode]
    ) -> None:
        self._make, self._mode, self._default = retriever, mode, default
        self._retriever: Retriever | None = None

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks for each query, best first."""
        try:
            self._retriever = self._retriever or self._make(self._mode)
            return self._retriever(queries, k=k)
        except (ProviderFailed, ServerUnreachable) as error:
            if (self._mode or self._default()) != "hybrid":
                raise
            reason = f"{error.message} ({error.hint})" if error.hint else error.message
            lacking = "the query has no vector" if isinstance(error, ProviderFailed) else "vectors are out of reach"
            warnings.warn(f"found by words alone, as {lacking}: {reason}", WordsOnly, stacklevel=4)
        self._retriever = self._make("lexical")
        return self._retriever(queries, k=k)
