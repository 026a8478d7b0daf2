"""FastText's character n-grams: a vector for a word that was never seen.

Bojanowski, Grave, Joulin and Mikolov 2017, "Enriching word vectors with subword information"
(arXiv:1607.04606).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gnomon.word_vectors.settings import SubwordSettings

_FNV_BASIS, _FNV_PRIME, _32_BITS = 2166136261, 16777619, 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Subwords:
    """The rows of the buckets that training touched; all others are zero.

    `buckets` rises. A word's n-grams, "<" before it and ">" after it, are hashed to buckets.
    """

    settings: SubwordSettings
    buckets: Int[np.ndarray, " touched"]
    rows: Float[np.ndarray, "touched dim"]

    def sum_of(self, word: str) -> tuple[Float[np.ndarray, " dim"], int, int]:
        """The sum of the word's n-gram vectors, how many n-grams it has, and how many of them are known."""
        hashed = np.array(buckets_of(word, self.settings), dtype=np.int64)
        if not len(hashed) or not len(self.buckets):
            return np.zeros(self.rows.shape[1], dtype=np.float32), len(hashed), 0
        at = np.minimum(np.searchsorted(self.buckets, hashed), len(self.buckets) - 1)
        known = self.buckets[at] == hashed
        return self.rows[at[known]].sum(axis=0, dtype=np.float32), len(hashed), int(known.sum())


def n_grams(word: str, shortest: int, longest: int) -> list[str]:
    """The n-grams of a word between its marks; a mark alone is none.

    >>> n_grams("ab", 3, 4)
    ['<ab', '<ab>', 'ab>']
    """
    marked = f"<{word}>"
    return [
        marked[at : at + length]
        for at in range(len(marked))
        for length in range(shortest, longest + 1)
        if at + length <= len(marked) and not (length == 1 and at in (0, len(marked) - 1))
    ]


def buckets_of(word: str, settings: SubwordSettings) -> list[int]:
    """The bucket of each of the word's n-grams, as fastText hashes them.

    FNV-1a over UTF-8 in 32 bits, where a byte above 127 counts as negative: a slip of the original that all
    of its files depend on.
    """
    return [
        _fnv1a(gram.encode("utf-8")) % settings.buckets for gram in n_grams(word, settings.shortest, settings.longest)
    ]


def _fnv1a(data: bytes) -> int:
    value = _FNV_BASIS
    for byte in data:
        signed = byte if byte < 128 else byte | 0xFFFFFF00
        value = ((value ^ signed) * _FNV_PRIME) & _32_BITS
    return value
