"""The passages that judged queries are learnt from: relevant ones, hard negatives of both lists, others at random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from gnomon.adapt.candidates import JudgedQueries
from gnomon.adapt.query_residual import RelevanceTargets
from gnomon.collection.collection import Collection
from gnomon.collection.evaluation import ChunkOwners
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query
from gnomon.core.similarity import normalise

MIN_QUERIES = 10
"""Fewer queries with a relevant document teach nothing that holds for others."""
_BLOCK = 256


@dataclass(frozen=True)
class PassageSettings:
    """How many queries and passages are learnt from at most; `depth` is of the hard negatives of each list."""

    queries: int = 2000
    passages: int = 8000
    relevant: int = 5
    depth: int = 50
    seed: int = 0


@dataclass(frozen=True, eq=False)
class JudgedPassages:
    """`texts` of the queries; for each the ids of its `relevant` chunks and of its `hard` negatives, nearest first.

    `ids` are all chunks to learn from, rising: these and some at random. `vectors` are theirs, of length 1, and
    `queries` those of the queries.
    """

    texts: tuple[str, ...]
    relevant: tuple[Int[np.ndarray, " relevant"], ...]
    hard: tuple[Int[np.ndarray, " hard"], ...]
    ids: Int[np.ndarray, " passages"]
    vectors: Array
    queries: Array

    def __len__(self) -> int:
        return len(self.texts)

    def targets(self) -> RelevanceTargets:
        """As vectors and a matrix of relevance."""
        shares = np.zeros((len(self), len(self.ids)), dtype=np.float32)
        for row, own in zip(shares, self.relevant, strict=True):
            row[np.searchsorted(self.ids, own)] = 1 / len(own)
        return RelevanceTargets(self.queries, self.vectors, shares)


def judged_passages(kb: Collection, judged: JudgedQueries, settings: PassageSettings | None = None) -> JudgedPassages:
    """Read what to learn from. Of a relevant document the chunk that is nearest to the query counts.

    Raises InvalidInput for fewer than MIN_QUERIES queries with a relevant document that is still there, and for a
    collection whose vectors are not compared by angle.
    """
    settings = settings or PassageSettings()
    space = kb.version.space
    if space.similarity != "cosine":
        raise InvalidInput(
            f"{space.short}, whose similarity is {space.similarity}", expected="one vector a passage, compared by angle"
        )
    drawn, owned = np.random.default_rng(settings.seed), _chunks_of_documents(kb)
    usable = _usable(judged, owned, most=settings.queries, drawn=drawn)
    texts = tuple(judged.texts[each] for each in usable)
    queries = normalise(np.array(kb.encoder.encode(texts, role="query").data, dtype=np.float32))
    right = [[owned[document] for document in judged.relevant(each) if document in owned] for each in usable]
    relevant = _nearest_of_each(kb, queries, [each[: settings.relevant] for each in right])
    hard = _hard_negatives(kb, texts, [np.concatenate(each) for each in right], depth=settings.depth)
    every = np.concatenate(list(owned.values()))
    ids, vectors = kb.internals.lookups().vectors_of(
        _passage_ids(relevant, hard, every, most=settings.passages, drawn=drawn)
    )
    rows = [row for row, each in enumerate(relevant) if len(each)]
    return JudgedPassages(
        texts=tuple(texts[row] for row in rows),
        relevant=tuple(relevant[row] for row in rows),
        hard=tuple(hard[row] for row in rows),
        ids=ids,
        vectors=normalise(np.array(vectors.data, dtype=np.float32)),
        queries=queries[rows],
    )


def _usable(judged: JudgedQueries, owned: Mapping[str, Array], *, most: int, drawn: np.random.Generator) -> list[str]:
    """The queries with a relevant document that is there; at most `most`, drawn."""
    usable = [each for each in judged.ids if any(document in owned for document in judged.relevant(each))]
    if len(usable) < MIN_QUERIES:
        raise InvalidInput(
            f"{len(usable)} queries with a relevant document that is there", expected=f"at least {MIN_QUERIES}"
        )
    if len(usable) <= most:
        return usable
    return [usable[at] for at in np.sort(drawn.choice(len(usable), most, replace=False))]


def _chunks_of_documents(kb: Collection) -> dict[str, Array]:
    """The ids of each document's chunks, by the document's id."""
    with kb.internals.catalog.read() as connection:
        owners = ChunkOwners.read(connection, kb.version.chunking_id)
    order = np.argsort(owners.documents, kind="stable")
    rows, starts = np.unique(owners.documents[order], return_index=True)
    parts = np.split(owners.chunk_ids[order], starts[1:]) if len(rows) else []
    return {owners.keys[int(row)]: part for row, part in zip(rows, parts, strict=True)}


def _nearest_of_each(kb: Collection, queries: Array, documents: list[list[Array]]) -> tuple[Array, ...]:
    """The chunk nearest to the query of each of its documents; those without a vector are left out."""
    vectors_of = kb.internals.lookups().vectors_of
    found = []
    for query, parts in zip(queries, documents, strict=True):
        best = []
        for part in parts:
            ids, vectors = vectors_of(part)
            if len(ids):
                best.append(ids[np.argmax(normalise(np.array(vectors.data, dtype=np.float32)) @ query)])
        found.append(np.unique(np.array(best, dtype=np.int64)))
    return tuple(found)


def _hard_negatives(kb: Collection, texts: tuple[str, ...], own: list[Array], *, depth: int) -> tuple[Array, ...]:
    """The first chunks of the dense and of the lexical list, in turn, without those of relevant documents."""
    found = []
    retrievers = [kb.retriever("dense"), kb.retriever("lexical")]
    for block in in_blocks(list(zip(texts, own, strict=True)), _BLOCK):
        lists = [retriever([Query(text) for text, _ in block], k=depth) for retriever in retrievers]
        for (_, relevant), *rankings in zip(block, *lists, strict=True):
            both = np.full((2, depth), -1, dtype=np.int64)
            for row, ranking in zip(both, rankings, strict=True):
                row[: len(ranking.ids)] = ranking.ids
            ids = both.T.ravel()
            ids = ids[(ids >= 0) & ~np.isin(ids, relevant)]
            found.append(ids[np.sort(np.unique(ids, return_index=True)[1])])
    return tuple(found)


def _passage_ids(
    relevant: tuple[Array, ...],
    hard: tuple[Array, ...],
    every: Array,
    *,
    most: int,
    drawn: np.random.Generator,
) -> Array:
    """Relevant chunks, hard negatives, and as many others as these or 1000, at most `most` that are not relevant."""
    right = np.unique(np.concatenate(relevant))
    near = np.setdiff1d(np.concatenate(hard), right)
    near = drawn.permutation(near)[:most]
    rest = np.setdiff1d(every, np.concatenate([right, near]))
    rest = drawn.permutation(rest)[: max(0, min(most - len(near), max(len(near), 1000)))]
    return np.sort(np.concatenate([right, near, rest]))
