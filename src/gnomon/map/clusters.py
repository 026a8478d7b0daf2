"""Clusters of chunks by their vectors, and the words that stand for each.

k-means over the vectors themselves: every chunk is in a cluster, later chunks and queries go to the nearest centroid,
and the clusters are the same whichever projection is drawn.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.stop_words import ENGLISH
from gnomon.kernels.terms import class_tf_idf

FEWEST, MOST = 2, 32
_SAMPLE = 256
"""Chunks a cluster that its words are taken from: more changes them little."""
_WORDS = 8
_WORD = re.compile(r"[^\W\d_][\w'-]{1,28}\w")


def cluster_count(chunks: int) -> int:
    """How many clusters so many chunks are put into: an eighth of their square root, from 2 to 32.

    >>> [cluster_count(n) for n in (1, 100, 5_000, 100_000)]
    [1, 2, 9, 32]
    """
    return min(chunks, max(FEWEST, min(MOST, round(math.sqrt(chunks) / 8))))


def cluster_words(
    ids: Int[np.ndarray, " chunks"],
    clusters: Int[np.ndarray, " chunks"],
    texts_of: Callable[[Int[np.ndarray, " some"]], Sequence[str]],
    *,
    count: int,
) -> tuple[tuple[str, ...], ...]:
    """The words of each cluster by class-based TF-IDF, best first; `texts_of` reads texts of chunks by id.

    A word that is no more frequent in the cluster than in all of them is not among its words.
    """
    random = np.random.default_rng(0)
    counts: list[Counter[str]] = []
    for cluster in range(count):
        members = ids[clusters == cluster]
        if len(members) > _SAMPLE:
            members = random.choice(members, _SAMPLE, replace=False)
        counts.append(Counter(word for text in texts_of(members) for word in _words(text)))
    terms = sorted(set().union(*counts))
    table = np.array([[each[term] for term in terms] for each in counts], dtype=np.int64).reshape(count, len(terms))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / max(1, int(table.sum()))
    weights = np.where(table > expected, class_tf_idf(table), 0.0)
    return tuple(_best(terms, row) for row in weights)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in ENGLISH]


def _best(terms: Sequence[str], weights: Float[np.ndarray, " terms"]) -> tuple[str, ...]:
    """The best words; of a singular and its plural the better one."""
    best: dict[str, str] = {}
    for at in np.argsort(-weights, kind="stable"):
        if len(best) == _WORDS or weights[at] <= 0:
            break
        best.setdefault(terms[at].removesuffix("s"), terms[at])
    return tuple(best.values())
