"""What a way of finding candidates is made of. Each is a constant in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.core.space import Similarity

Found = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False)
class Finder:
    """A kind of FAISS index over rows: how it is made, asked, and how much memory making it takes.

    `trained(sample, total, similarity)` gives an empty index for `total` rows, ready to have them added.
    `nearest(index, queries, count, width)` gives FAISS's distances and positions, nearest first, -1 where
    there are fewer; `width` says how far to look, 1 at the least. `steps` are the widths that are tried until
    enough true neighbours are found; `widens`, whether `width` is a multiple of the candidates too.

    `drifts`: whether it goes by what it learnt of the first rows (a mean), so that it is made anew rather
    than looked through much wider. `orders`: whether its order is nearly the rows' own, so that a search
    among some rows needs a few of them for each result, and not as many candidates as one among all.
    `segment`: rows in one FAISS index, beyond which another of the same training is begun; 0 has no limit.
    """

    name: str
    trained: Callable[[np.ndarray[Any, Any], int, Similarity], Any]
    nearest: Callable[[Any, np.ndarray[Any, Any], int, float], Found]
    bytes_to_make: Callable[[int, int], int]
    steps: tuple[int, ...] = (1, 2, 4, 8)
    widens: bool = True
    drifts: bool = True
    orders: bool = False
    segment: int = 0
