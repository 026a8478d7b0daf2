"""The candidates' rankings, and the passages on whose place they differ: what a session of judging draws from."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.collection.collection import Collection
from gnomon.collection.opening import open_collection
from gnomon.collection.settings import Mode
from gnomon.collection.systems import CollectionSystem, ModelSystem, labels, resolve
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import ProgressCallback
from gnomon.evaluate.active_sampling import JudgingPool, discounts
from gnomon.evaluate.run import Run
from gnomon.judge.records import JudgingSettings

_TINY = 1e-12
_MOST_CANDIDATES = 8


@dataclass(frozen=True)
class PoolItem:
    """A document to judge for a query, with its best rank in any candidate's ranking, from 1.

    `weights`: what the highest grade adds to each candidate's difference from the baseline, the mean over queries.
    """

    query_id: str
    document: str
    rank: int
    weights: tuple[float, ...]


@dataclass(frozen=True)
class Candidates:
    """Systems by the names of `gnomon compare`; the first is the baseline. `names` are short ones for people."""

    systems: tuple[str, ...]
    names: tuple[str, ...]


def choose_candidates(kb: Collection, given: Sequence[str] | None) -> Candidates:
    """The candidates of a session: `given`, or the live version, its other modes and the other ready versions.

    Raises InvalidInput for fewer than two different ones, and for more than eight.
    """
    systems = tuple(given) if given is not None else _default(kb)
    if len(set(systems)) < max(2, len(systems)) or len(systems) > _MOST_CANDIDATES:
        raise InvalidInput(
            f"the candidates {', '.join(systems) or 'none'}",
            expected=f"2 to {_MOST_CANDIDATES} different ones, the baseline first",
            hint="name each once, such as kb, kb:dense, kb@v2 or a saved run",
        )
    return Candidates(systems, tuple(labels(*systems)))


def _default(kb: Collection) -> tuple[str, ...]:
    address, live = kb.internals.address, kb.version
    modes = [mode for mode in ("hybrid", "dense", "lexical") if mode != live.retrieval.mode]
    others = [info.name for info in kb.versions.list() if info.state == "ready" and not info.behind]
    ready = [f"{address}@{name}" for name in others if name != live.name]
    return (address, *(f"{address}:{mode}" for mode in modes), *ready)[:_MOST_CANDIDATES]


def run_candidates(
    kb: Collection, candidates: Candidates, queries: Mapping[str, str], *, depth: int, progress: ProgressCallback
) -> list[Run]:
    """Each candidate's first `depth` documents of each query. Raises InvalidInput for a model, and as searching does.

    Documents that the collection does not hold, which a saved run may name, are left out.
    """
    known = frozenset(kb.ids())
    runs = []
    for text in candidates.systems:
        run = _run(kb, text, queries, depth=depth, progress=progress)
        if run.queries.isdisjoint(queries):
            raise InvalidInput(
                f"{text} holds none of the {len(queries):,} queries",
                expected="a run of these queries, by their ids",
                hint="give the queries as JSON lines with the ids of the run, or leave the run out",
            )
        found = {query: [doc for doc in run.ranking(query) if doc in known][:depth] for query in queries}
        ranked = {query: [(doc, 1.0 / rank) for rank, doc in enumerate(docs, 1)] for query, docs in found.items()}
        runs.append(Run.ranked(text, ranked))
    return runs


def _run(kb: Collection, text: str, queries: Mapping[str, str], *, depth: int, progress: ProgressCallback) -> Run:
    system = resolve(text)
    if isinstance(system, ModelSystem):
        raise InvalidInput(
            f"{text}: a model is no candidate",
            expected="a collection, a mode or version of it, or a saved run",
            hint=f"make a version with it: gnomon migrate {shlex.quote(kb.internals.address)} --to {system.model} "
            "--switch-if never",
        )
    if not isinstance(system, CollectionSystem):
        return Run.load(system.file)
    if resolve(kb.internals.address).place == system.place:  # type: ignore[union-attr]
        return _search(kb.pinned(system.version), system, queries, depth=depth, progress=progress)
    with open_collection(system.place, create=False, version=system.version, progress=progress) as other:
        return _search(other, system, queries, depth=depth, progress=progress)


def _search(
    kb: Collection, system: CollectionSystem, queries: Mapping[str, str], *, depth: int, progress: ProgressCallback
) -> Run:
    mode: Mode | None = system.mode
    return kb.run(queries, k=depth, mode=mode, vector_type=system.vector_type, progress=progress)


def pool_items(runs: Sequence[Run], queries: Sequence[str], settings: JudgingSettings) -> list[PoolItem]:
    """The passages whose discounts differ between the first run and any other."""
    gains = discounts(settings.kind, settings.depth)
    items = []
    for query in queries:
        places = [{document: at for at, document in enumerate(run.ranking(query)[: len(gains)])} for run in runs]
        for document in dict.fromkeys(document for place in places for document in place):
            worth = [gains[place[document]] if document in place else 0.0 for place in places]
            weights = tuple(float(own - worth[0]) / len(queries) for own in worth[1:])
            if max(map(abs, weights)) > _TINY:
                rank = min(place[document] for place in places if document in place) + 1
                items.append(PoolItem(query, document, rank, weights))
    return items


def sampling_pool(
    items: Sequence[PoolItem], queries: Sequence[str], judged: Mapping[tuple[str, str], int] | None = None
) -> JudgingPool:
    """The pool as arrays. `judged`: grades by a language model, by query and document id."""
    number = {query: at for at, query in enumerate(queries)}
    return JudgingPool(
        np.array([number[item.query_id] for item in items], dtype=np.int64),
        np.array([item.weights for item in items], dtype=np.float64).T,
        np.array([item.rank for item in items], dtype=np.int64),
        None if judged is None else np.array([float(judged.get((i.query_id, i.document), -1)) for i in items]),
    )


def require_difference(items: Sequence[PoolItem], names: Sequence[str], queries: int) -> None:
    """Raise InvalidInput where a candidate ranks as the baseline does for every query: there is nothing to judge."""
    for pair, name in enumerate(names[1:]):
        if not any(abs(item.weights[pair]) > _TINY for item in items):
            raise InvalidInput(
                f"{name} and {names[0]} agree on all {queries:,} queries: there is nothing to judge",
                expected="candidates that rank at least one query differently",
                hint="leave one of them out, or give other queries",
            )
