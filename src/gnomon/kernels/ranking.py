"""Rankings: the k best scores, positions of ids, and the fusion of several rankings into one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int


def top_k(
    scores: Float[np.ndarray, " n"], ids: Int[np.ndarray, " n"], k: int
) -> tuple[Int[np.ndarray, " best"], Float[np.ndarray, " best"]]:
    """The ids of the `k` highest scores and the scores, falling; equal scores in order of id.

    A score of -inf marks an id that is not allowed and is left out.

    >>> top_k(np.array([0.1, 0.9, 0.9]), np.array([7, 9, 8]), 2)[0].tolist()
    [8, 9]
    """
    if len(scores) > k:
        # Everything tied with the k-th score stays in, so that the order of ids decides among the tied.
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        keep = np.flatnonzero(scores >= kth)
        scores, ids = scores[keep], ids[keep]
    order = np.lexsort((ids, -scores))[:k]
    order = order[scores[order] > -np.inf]
    return ids[order], scores[order]


Ids = np.ndarray[Any, np.dtype[np.int64]]
Scores = np.ndarray[Any, np.dtype[np.float32]]


def positions(known: Ids, wanted: Ids) -> Ids:
    """Where each wanted id stands among the known, which rise; those that are not known are left out.

    >>> positions(np.array([3, 5, 8]), np.array([8, 4, 3])).tolist()
    [2, 0]
    """
    if len(known) == 0:
        return np.zeros(0, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.asarray(at[known[at] == wanted])


def scores_at(wanted: Ids, ids: Ids, values: Scores) -> Scores:
    """The values of the wanted ids, NaN where an id is not among `ids`.

    >>> scores_at(np.array([4, 9]), np.array([9, 7]), np.array([0.5, 0.2])).tolist()
    [nan, 0.5]
    """
    out = np.full(len(wanted), np.nan, dtype=np.float32)
    if len(ids) == 0:
        return out
    order = np.argsort(ids)
    at = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    rows = order[at]
    found = ids[rows] == wanted
    out[found] = values[rows[found]]
    return out


# Each list has its own length, so the axis has no name: a name would bind to the first.
Lists = Sequence[tuple[Int[np.ndarray, " _"], Float[np.ndarray, " _"]]]


def min_max(scores: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Scores stretched to 0 to 1; all 1 where they are all equal. NaN stays NaN and bounds nothing.

    Equal scores are 1 and not 0, so that the only result of one ranking outweighs what that ranking lacks.
    Theoretical min-max fusion is analysed by Bruch, Gai and Ingber 2023 (arXiv:2210.11934).

    >>> min_max(np.array([2.0, 4.0, 3.0])).tolist()
    [0.0, 1.0, 0.5]
    >>> min_max(np.array([7.0, np.nan])).tolist()
    [1.0, nan]
    """
    if len(scores) == 0:
        return scores
    low, high = np.fmin.reduce(scores), np.fmax.reduce(scores)
    if high == low:
        return np.where(np.isnan(scores), scores, np.ones_like(scores))
    return np.asarray((scores - low) / (high - low))


def union(lists: Lists) -> tuple[Int[np.ndarray, " ids"], list[Float[np.ndarray, " ids"]]]:
    """All ids of all lists, rising, and each list's scores aligned with them (NaN where it lacks the id).

    >>> ids, columns = union([(np.array([7, 3]), np.array([0.9, 0.5])), (np.array([4]), np.array([2.0]))])
    >>> ids.tolist(), columns[0].tolist()
    ([3, 4, 7], [0.5, nan, 0.9])
    """
    every = np.sort(np.concatenate([i for i, _ in lists])) if lists else np.zeros(0, dtype=np.int64)
    ids = every[np.append(True, every[1:] != every[:-1])] if len(every) else every  # np.unique hashes: slower
    columns = []
    for own, values in lists:
        column = np.full(len(ids), np.nan, dtype=np.float64)
        column[np.searchsorted(ids, own)] = values
        columns.append(column)
    return ids, columns


def convex(columns: Sequence[Float[np.ndarray, " ids"]], weights: Sequence[float]) -> Float[np.ndarray, " ids"]:
    """Weighted sum of min-max scores; an id that a list lacks counts 0 there.

    >>> convex([np.array([1.0, 3.0, np.nan]), np.array([np.nan, 5.0, 4.0])], [0.5, 0.5]).tolist()
    [0.0, 1.0, 0.0]
    """
    return np.asarray(convex_shares(columns, weights).sum(axis=0))


def convex_shares(
    columns: Sequence[Float[np.ndarray, " ids"]], weights: Sequence[float]
) -> Float[np.ndarray, " lists ids"]:
    """What each list adds to the sum of `convex`, a row a list.

    >>> convex_shares([np.array([1.0, 3.0, np.nan]), np.array([np.nan, 5.0, 4.0])], [0.5, 0.5]).tolist()
    [[0.0, 0.5, 0.0], [0.0, 0.5, 0.0]]
    """
    rows = [weight * np.nan_to_num(min_max(column), nan=0.0) for column, weight in zip(columns, weights, strict=True)]
    return np.stack(rows)


def reciprocal_rank(
    columns: Sequence[Float[np.ndarray, " ids"]], weights: Sequence[float], *, constant: float = 60.0
) -> Float[np.ndarray, " ids"]:
    """Reciprocal rank fusion: sum of weight / (constant + rank), ranks from 1.

    Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet".

    >>> reciprocal_rank([np.array([0.9, 0.1])], [1.0]).round(5).tolist()
    [0.01639, 0.01613]
    """
    return np.asarray(reciprocal_rank_shares(columns, weights, constant=constant).sum(axis=0))


def reciprocal_rank_shares(
    columns: Sequence[Float[np.ndarray, " ids"]], weights: Sequence[float], *, constant: float = 60.0
) -> Float[np.ndarray, " lists ids"]:
    """What each list adds to the sum of `reciprocal_rank`, a row a list.

    >>> reciprocal_rank_shares([np.array([0.9, 0.1]), np.array([np.nan, 0.5])], [1.0, 1.0]).round(5).tolist()
    [[0.01639, 0.01613], [0.0, 0.01639]]
    """
    rows = np.zeros((len(columns), len(columns[0])), dtype=np.float64)
    for row, column, weight in zip(rows, columns, weights, strict=True):
        found = np.flatnonzero(~np.isnan(column))
        order = found[np.argsort(-column[found], kind="stable")]
        row[order] = weight / (constant + np.arange(1, len(order) + 1))
    return rows
