"""What learns candidates from judged queries, in the order of what learning costs."""

from __future__ import annotations

from importlib.util import find_spec

from gnomon.adapt.candidates import Learner
from gnomon.adapt.provider_reranker import ProviderReranker
from gnomon.adapt.query_adapter import QueryAdapter
from gnomon.adapt.query_tuning import QueryTuning


def known_learners(reranker: str | None = None, *, max_cost: float | None = None) -> tuple[Learner, ...]:
    """Every learner that can run here; a provider's reranker where one is named, for at most `max_cost` USD.

    Raises InvalidInput for a reranker of no provider.
    """
    found: list[Learner] = [QueryAdapter()]
    if find_spec("torch") is not None:
        found.append(QueryTuning())
    return (*found, *([] if reranker is None else [ProviderReranker(reranker, max_cost=max_cost)]))
