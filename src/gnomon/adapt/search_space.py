"""The candidates that adapting tries: few, fixed, and in the order of what they cost to search with.

Each has a prior, the gain over a hybrid search that it had on six development sets (SciFact's and InsuranceQA's
training queries, CACM, Cranfield's and CoSQA's not among them): see docs/adapting.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.adapt.candidates import Candidate, Family
from gnomon.adapt.decision import Prior
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.encode.availability import availability
from gnomon.encode.cards import card_for
from gnomon.migrate.change import add_spaces, change_retrieval
from gnomon.retrieve.spaces import SpaceSettings

SECOND_MODELS = ("gte-small", "all-MiniLM-L6-v2", "bge-small-en-v1.5", "e5-small-v2")
"""Small models of different families: the first that is on this machine and is not the collection's own is tried."""
LEARNT_PRIORS: Mapping[Family, Prior] = {
    "query-adapter": Prior(0.0, 0.02),
    "fine-tuning": Prior(0.0, 0.02),
    "reranker": Prior(0.0, 0.03),
    "provider": Prior(0.02, 0.04),
}
"""What is known of learnt candidates before any label: hardly anything, so that the labels decide."""


@dataclass(frozen=True)
class Option:
    """A candidate and what is known of its gain."""

    candidate: Candidate
    prior: Prior


def options(live: RetrievalSettings, *, models: Sequence[str] = (), dims: Sequence[int] = ()) -> tuple[Option, ...]:
    """All candidates that differ from the live settings; `models` are tried as second spaces, `dims` as prefixes."""
    found = [*_fusion(live), *_feedback(live), *_prefixes(dims)]
    beside = {one.model for one in live.spaces}
    for model in models:
        if model not in beside:
            found += _two_spaces(live, model)
    return tuple(option for option in found if _differs(live, option.candidate.changes))


def second_model(own: str) -> tuple[str | None, str]:
    """The second model to try where none is named, and a sentence where there is none on this machine."""
    others = [name for name in SECOND_MODELS if name != own]
    for name in others:
        card = card_for(name)
        if card is not None and availability(card).folder is not None:
            return name, ""
    return None, (
        f"no second model is on this machine, so no second space was tried: --models {others[0]} fetches one "
        "(67 MB; every passage is then embedded once more), which gained on every set where it was measured"
    )


def _fusion(live: RetrievalSettings) -> list[Option]:
    """Words weigh less, not at all, more, or alone; and ranks in place of scores."""
    return [
        _option("meaning only", "fusion", _no_words(live), mean=-0.05, sd=0.06),
        _option("words only", "fusion", {"mode": "lexical"}, mean=-0.06, sd=0.05),
        _option("words weigh 0.3", "fusion", _weights(live, 0.3), mean=-0.01, sd=0.02),
        _option("words weigh 0.7", "fusion", _weights(live, 0.7), mean=-0.015, sd=0.02),
        _option("ranks fused, not scores", "fusion", {"fuse.fusion": "rrf"}, mean=-0.01, sd=0.01),
    ]


def _feedback(live: RetrievalSettings) -> list[Option]:
    found = [
        _option("neighbours", "feedback", {"neighbours": {"weight": 0.3}}, mean=0.003, sd=0.01),
        _option("word feedback (RM3)", "feedback", {"rm3": {"share": 0.3}}, mean=-0.002, sd=0.01),
    ]
    if live.query_encoder is None:
        found.append(_option("vector feedback (Rocchio)", "feedback", {"rocchio": {"beta": 0.3}}, mean=0.0, sd=0.01))
    return found


def _prefixes(dims: Sequence[int]) -> list[Option]:
    return [_option(f"first {dim} dimensions", "prefix", {"dim": dim}, mean=-0.01, sd=0.01) for dim in dims]


def _two_spaces(live: RetrievalSettings, model: str) -> list[Option]:
    added = add_spaces(live, [SpaceSettings(model)])
    with_model: dict[str, Any] = {"spaces": [to_plain(one) for one in added.spaces], "mode": "hybrid"}
    return [
        Option(
            Candidate(f"two spaces ({model})", "spaces", {**with_model, **_weights(added, 0.4)}),
            Prior(0.018, 0.015, is_first=True),
        ),
        _option(
            f"two spaces ({model}), words weigh 0.2",
            "spaces",
            {**with_model, **_weights(added, 0.2)},
            mean=0.005,
            sd=0.03,
        ),
        _option(
            f"two spaces ({model}), no words",
            "spaces",
            {**with_model, **_weights(added, 0.0)},
            mean=-0.02,
            sd=0.06,
        ),
        _option(
            f"two spaces ({model}) and neighbours",
            "spaces",
            {**with_model, **_weights(added, 0.4), "neighbours": {"weight": 0.3}},
            mean=0.018,
            sd=0.015,
        ),
    ]


def _option(name: str, family: Family, changes: Mapping[str, Any], *, mean: float, sd: float) -> Option:
    return Option(Candidate(name, family, changes), Prior(mean, sd))


def _weights(live: RetrievalSettings, words: float) -> dict[str, Any]:
    """The weights of a fusion in which words have this share, and the other lists the rest in equal parts."""
    lists = live.lists
    others = len(lists) - ("lexical" in lists)
    if others == len(lists):  # sparse vectors are searched in the place of words
        return {}
    share = (1 - words) / others
    return {"mode": "hybrid", "fuse.weights": [words if name == "lexical" else round(share, 4) for name in lists]}


def _no_words(live: RetrievalSettings) -> dict[str, Any]:
    return {"mode": "dense"} if live.lists == ("dense", "lexical") else _weights(live, 0.0)


def _differs(live: RetrievalSettings, changes: Mapping[str, Any]) -> bool:
    """Whether there is a change at all; one that does not fit the live settings is no candidate."""
    if "dim" in changes or "model" in changes:
        return True
    try:
        return change_retrieval(live, changes) != live
    except InvalidInput:
        return False
