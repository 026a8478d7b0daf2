"""Equal passages: the best of them stands for all among the results, with the ids of the other documents.

Passages are equal where what was embedded is: the text, with the title and the headings before it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, Retriever
from gnomon.core.errors import DamagedPassages
from gnomon.core.ranking import Query, Ranking

DEEPEST = 10_000
"""Results that are looked through for further distinct passages, at most."""
_DEEPER, _SPARE_ROWS = 4, 5


def spare_depth(k: int) -> int:
    """How many results to ask for, so that some may be copies of others."""
    return 2 * k


def deeper(depth: int) -> int:
    """The next depth, where that many results had too few distinct passages."""
    return depth * _DEEPER


def lacks_results(distinct: int, k: int, *, found: int, depth: int) -> bool:
    """Whether there may be further distinct passages beyond the results that were found."""
    return distinct < k and found >= depth and depth < DEEPEST


def shown_rows(connection: Connection, ranking: Ranking, k: int, *, collapse: bool) -> list[tuple[int, Any]]:
    """The rows of the first `k` chunks (or distinct passages) that are still there, each with its place."""
    found: list[tuple[int, Any]] = []
    seen: set[bytes] = set()
    # A few more at once: another statement costs more than some rows.
    for places in in_blocks(range(len(ranking)), k + _SPARE_ROWS if collapse else k):
        rows = _sound_rows(connection, ranking.ids[list(places)].tolist())
        for place in places:
            row = rows.get(int(ranking.ids[place]))
            if row is None or (collapse and row.text_hash in seen):
                continue
            seen.add(row.text_hash)
            found.append((place, row))
            if len(found) == k:
                return found
    return found


def _sound_rows(connection: Connection, ids: Sequence[int]) -> dict[int, Any]:
    """The chunks' rows by id, without those whose stored text is not what was embedded: a warning names them."""
    rows = queries.chunk_rows(connection, ids)
    damaged = [chunk_id for chunk_id, row in rows.items() if queries.embedded_text(row) is None]
    if damaged:
        names = ", ".join(sorted({rows.pop(chunk_id).key for chunk_id in damaged})[:3])
        warnings.warn(
            f"{len(damaged):,} passages are left out, since their stored texts are damaged: {names}; "
            "gnomon doctor COLLECTION lists all such documents: add them again",
            DamagedPassages,
            stacklevel=2,
        )
    return rows


def copies(connection: Connection, rows: Sequence[Any], *, among: Array | None = None) -> dict[int, tuple[str, ...]]:
    """The ids of the other documents that hold the very passages of these rows, by the row's chunk id.

    `among` are the chunk ids allowed (rising). Of at most 1,000 chunks in all, those added first.
    """
    same = queries.chunks_of_texts(connection, rows[0].chunking_id, [row.text_hash for row in rows]) if rows else []
    if len(same) <= len(rows):
        return {}
    if among is not None:
        allowed = np.isin([each.id for each in same], among)
        same = [each for each, is_allowed in zip(same, allowed, strict=True) if is_allowed]
    holders: dict[bytes, dict[str, None]] = {}
    for each in same:
        holders.setdefault(each.text_hash, {})[each.key] = None
    found = {row.id: [key for key in holders.get(row.text_hash, ()) if key != row.key] for row in rows}
    return {chunk_id: tuple(others) for chunk_id, others in found.items() if others}


@dataclass(frozen=True)
class DistinctPassages:
    """A retriever whose rankings have one chunk of each passage: the best. It fills `k` up with further ones."""

    retriever: Retriever
    catalog: Catalog

    def __call__(self, asked: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` distinct chunks a query."""
        depth = spare_depth(k)
        while True:
            rankings = self.retriever(asked, k=depth)
            with self.catalog.read() as connection:
                distinct = [_distinct(connection, ranking) for ranking in rankings]
            pairs = zip(distinct, rankings, strict=True)
            if not any(lacks_results(len(some), k, found=len(every), depth=depth) for some, every in pairs):
                return [some.first(k) for some in distinct]
            depth = deeper(depth)


def _distinct(connection: Connection, ranking: Ranking) -> Ranking:
    hashes = queries.text_hashes(connection, ranking.ids)
    first: dict[bytes, int] = {}
    for place, chunk_id in enumerate(ranking.ids.tolist()):
        if chunk_id in hashes:
            first.setdefault(hashes[chunk_id], place)
    return ranking.take(list(first.values()))
