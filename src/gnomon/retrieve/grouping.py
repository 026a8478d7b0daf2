"""Queries that share one filter are searched together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gnomon.core.ranking import Query, Ranking


def in_groups(queries: Sequence[Query], search: Callable[[Sequence[int]], list[Ranking]]) -> list[Ranking]:
    """Call `search` once for the positions of each group of queries with the same `where` array."""
    groups: dict[int, list[int]] = {}
    for position, query in enumerate(queries):
        groups.setdefault(id(query.where), []).append(position)
    found: dict[int, Ranking] = {}
    for positions in groups.values():
        found.update(zip(positions, search(positions), strict=True))
    return [found[position] for position in range(len(queries))]
