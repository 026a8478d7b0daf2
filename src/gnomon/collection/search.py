"""Queries to hits: the retriever of a mode, grouping by document, and what a person sees of each chunk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from sqlalchemy import Connection

from gnomon.collection import reads
from gnomon.collection.settings import By, Mode, RetrievalSettings
from gnomon.collection.snippet import highlighter, snippet
from gnomon.core.contracts import Encoder, Index, Retriever
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Hit, Query, Ranking
from gnomon.retrieve import RM3, Dense, Fuse, Lexical, Lookups, Neighbours, Rocchio
from gnomon.retrieve.feedback import WordIndex


def build_retriever(
    mode: Mode,
    settings: RetrievalSettings,
    *,
    encoder: Encoder | None,
    dense: Index,
    lexical: WordIndex,
    lookups: Lookups | None = None,
) -> Retriever:
    """The retriever that serves a mode: the same object that is evaluated. Lexical needs no encoder.

    A stage of the settings is used where its part is: `rocchio` in dense, `rm3` in lexical, both in hybrid.
    Raises InvalidInput for stages without `lookups`, which they read vectors and texts by.
    """
    if mode not in get_args(Mode):
        raise InvalidInput(f"mode {mode!r}", wanted=f"one of {', '.join(get_args(Mode))}")
    found: Retriever
    if mode == "lexical" or encoder is None:
        found = _lexical(settings, lexical, lookups)
    elif mode == "dense":
        found = _dense(settings, encoder, dense, lookups)
    else:
        parts = (_dense(settings, encoder, dense, lookups), _lexical(settings, lexical, lookups))
        found = Fuse(parts, settings.fuse)
    if settings.neighbours is None:
        return found
    return Neighbours(found, _given(lookups).vectors_of, settings.neighbours)


def _dense(settings: RetrievalSettings, encoder: Encoder, index: Index, lookups: Lookups | None) -> Retriever:
    if settings.rocchio is None:
        return Dense(encoder, index)
    return Rocchio(encoder, index, _given(lookups).vectors_of, settings.rocchio)


def _lexical(settings: RetrievalSettings, index: WordIndex, lookups: Lookups | None) -> Retriever:
    if settings.rm3 is None:
        return Lexical(index)
    return RM3(index, _given(lookups).texts_of, settings.rm3)


def _given(lookups: Lookups | None) -> Lookups:
    if lookups is None:
        raise InvalidInput(
            "stages without lookups",
            wanted="lookups of vectors and texts by chunk id",
            next_step="give `lookups`, or settings without rocchio, rm3 and neighbours",
        )
    return lookups


def group_by_document(connection: Connection, ranking: Ranking, k: int) -> tuple[Ranking, dict[int, int]]:
    """The best chunk of each of the first `k` documents, and how many further chunks of it were found."""
    owners = reads.document_ids(connection, ranking.ids)
    first: dict[int, int] = {}
    more: dict[int, int] = {}
    for position, chunk_id in enumerate(ranking.ids.tolist()):
        owner = owners.get(chunk_id)
        if owner is None:
            continue  # deleted since the index was read
        if owner in first:
            more[owner] += 1
        else:
            first[owner], more[owner] = position, 0
    kept = list(first.items())[:k]
    at = np.array([position for _, position in kept], dtype=np.int64)
    grouped = Ranking(
        ranking.ids[at], ranking.scores[at], {name: values[at] for name, values in ranking.stages.items()}
    )
    return grouped, {int(ranking.ids[position]): more[owner] for owner, position in kept}


def hits(connection: Connection, query: str, ranking: Ranking, more: Mapping[int, int]) -> list[Hit]:
    """What a person sees. A chunk that was deleted since the index was read is left out."""
    rows = reads.chunk_rows(connection, ranking.ids.tolist())
    stems = highlighter(query)
    found = []
    for position, chunk_id in enumerate(ranking.ids.tolist()):
        if chunk_id in rows:
            stages = {
                name: float(values[position])
                for name, values in ranking.stages.items()
                if not np.isnan(values[position])
            }
            score = float(ranking.scores[position])
            found.append(_hit(rows[chunk_id], score, stages, snippet(rows[chunk_id].text, stems), more))
    return found


def _hit(
    row: Any,
    score: float,
    stages: Mapping[str, float],
    shown: tuple[str, tuple[tuple[int, int], ...]],
    more: Mapping[int, int],
) -> Hit:
    return Hit(
        chunk_id=row.id,
        document=row.key,
        score=score,
        text=row.text,
        snippet=shown[0],
        start=row.start,
        end=row.end,
        title=row.title,
        heading=tuple(json.loads(row.heading)),
        source=row.source,
        stages=stages,
        highlights=shown[1],
        metadata=json.loads(row.metadata),
        more=more.get(row.id, 0),
    )


def checked_queries(texts: Sequence[str], k: int, by: By) -> list[Query]:
    """Queries from texts. Raises InvalidInput for an empty query, a k below 1 or an unknown grouping."""
    if k < 1:
        raise InvalidInput(f"k = {k}", wanted="at least 1 hit")
    if by not in ("chunk", "document"):
        raise InvalidInput(f"by {by!r}", wanted='"chunk" or "document"')
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise InvalidInput(
                "an empty query" if isinstance(text, str) else f"a query of type {type(text).__name__}",
                wanted="some words to look for",
            )
    return [Query(text) for text in texts]
