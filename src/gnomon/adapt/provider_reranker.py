"""A provider's reranker as a candidate: nothing is learnt, and what trying it costs is known before it is tried."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gnomon.adapt.candidates import Candidate, Family, JudgedQueries
from gnomon.collection.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.encode.cards import card_for
from gnomon.encode.providers.names import provider_reference
from gnomon.encode.providers.tokens import estimate_all

_SAMPLE = 200
"""Passages whose tokens are counted for the estimate."""
_RUNS = 2
"""How often a query is reranked: when the candidate is tried, and when the version goes through the gate."""


class ProviderReranker:
    """A `Learner` that puts a reranker of a provider, such as "cohere:rerank-v3.5", after the live search.

    `max_cost` is what trying it may cost, in USD (None: no limit). InvalidInput for a name that is no provider's, and
    where more is needed or no price is known: nothing is sent then.
    """

    family: Family = "provider"

    def __init__(self, model: str, *, max_cost: float | None = None, depth: int = 30, weight: float = 0.7) -> None:
        if provider_reference(model) is None:
            raise InvalidInput(f"{model}, a reranker of no provider", expected="PROVIDER:MODEL, or an address")
        self.name = f"reranked by {model}"
        self._model, self._max_cost, self._depth, self._weight = model, max_cost, depth, weight

    def fit(self, kb: Collection, judged: JudgedQueries, folder: Path, *, progress: ProgressCallback) -> Candidate:
        """As `Learner.fit`; the cost of these queries is told by `progress`."""
        cost = self.cost(kb, judged)
        price = "has no known price" if cost is None else f"costs about {cost:,.2f} USD"
        pairs = _RUNS * len(judged) * self._depth
        progress(Progress("estimating", message=f"{self._model}: reranking {pairs:,} passages {price}"))
        if self._max_cost is not None and (cost is None or cost > self._max_cost):
            raise InvalidInput(
                f"reranking {pairs:,} passages with {self._model} {price}; {self._max_cost:,.2f} USD are allowed, "
                "nothing was sent",
                expected="a cost within the limit",
                hint="raise --max-cost (max_cost in Python), or judge fewer queries",
            )
        settings = {"model": self._model, "depth": self._depth, "weight": self._weight}
        return Candidate(self.name, self.family, {f"rerank.{key}": value for key, value in settings.items()})

    def cost(self, kb: Collection, judged: JudgedQueries) -> float | None:
        """USD for these queries, by the list price; None where no price is known, as of an address of one's own."""
        card = card_for(self._model)
        price = None if card is None else card.price
        if price is None:
            return None
        if price.usd_per_thousand_searches is not None:
            return _RUNS * len(judged) * price.usd_per_thousand_searches / 1000
        texts = [one.text for one in kb.chunk_texts()]
        step = max(1, len(texts) // _SAMPLE)
        passage = float(np.mean(estimate_all(texts[::step]))) if texts else 0.0
        tokens = sum(own + passage for own in estimate_all(list(judged.texts.values()))) * self._depth
        return price.of_tokens(round(_RUNS * tokens))
