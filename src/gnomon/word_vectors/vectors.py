"""Words with their vectors: neighbours, analogies, and vectors for unknown words from their n-grams."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import normalise
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.kernels.ranking import top_k
from gnomon.kernels.similarity import paired_cosines
from gnomon.word_vectors.corpus import lower
from gnomon.word_vectors.settings import SubwordSettings

_FNV_BASIS, _FNV_PRIME, _32_BITS = 2166136261, 16777619, 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class Subwords:
    """The n-gram vectors of FastText: rows of the buckets that training changed; all others are zero.

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


Neighbour = tuple[str, float]
"""A word and its cosine."""


@dataclass(frozen=True, eq=False)
class WordVectors:
    """A vector for each word. Rows are as trained, not normalised; neighbours are by cosine.

    `counts` says how often each word came in training, where that is known. With `lowercase` a word is looked
    up in lower case. `subwords` gives vectors to words that are not there.
    Raises InvalidInput for repeated words and for another number of rows than words.
    """

    words: tuple[str, ...]
    vectors: Vectors
    counts: Int[np.ndarray, " words"] | None = None
    subwords: Subwords | None = None
    lowercase: bool = False

    def __post_init__(self) -> None:
        sizes = {len(self.words), len(self.vectors), *(() if self.counts is None else (len(self.counts),))}
        if len(sizes) > 1:
            raise InvalidInput(
                f"{len(self.words)} words with {len(self.vectors)} vectors"
                + ("" if self.counts is None else f" and {len(self.counts)} counts"),
                expected="one of each for every word",
            )
        if not self.words or len(self._places) < len(self.words):
            raise InvalidInput(
                f"{len(self.words)} words, {len(self._places)} of them different",
                expected="at least one word, and each once",
            )

    @classmethod
    def of(
        cls,
        words: Sequence[str],
        rows: Float[np.ndarray, "words dim"],
        *,
        name: str,
        counts: Int[np.ndarray, " words"] | None = None,
        subwords: Subwords | None = None,
        lowercase: bool = False,
    ) -> WordVectors:
        """Words with rows, in the space that their content makes."""
        space = space_of(words, rows, subwords, name=name)
        return cls(tuple(words), Vectors(rows, space), counts, subwords, lowercase)

    @property
    def space(self) -> Space:
        """The vectors' space: its fingerprint digests words, rows and n-grams."""
        return self.vectors.space

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self._written(word) in self._places

    def vector(self, word: str) -> Float[np.ndarray, " dim"]:
        """The word's vector; for an unknown word the mean of its n-grams' vectors, where there are any.

        Raises InvalidInput for a word without one; the error names words that are spelled alike.
        """
        written = self._written(word)
        if written in self._places:
            return np.asarray(self.vectors.data[self._places[written]])
        if self.subwords is not None:
            total, grams, known = self.subwords.sum_of(written)
            if known:
                return np.asarray(total / grams)
        raise self._unknown(word)

    def is_composed(self, word: str) -> bool:
        """Whether the word is not in the vocabulary and has its vector from its n-grams."""
        if word in self or self.subwords is None:
            return False
        return self.subwords.sum_of(self._written(word))[2] > 0

    def similarity(self, first: str, second: str) -> float:
        """The cosine of two words' vectors; 0 where one of them is zero."""
        return float(paired_cosines(self.vector(first)[None], self.vector(second)[None])[0])

    def nearest(self, word: str, *, k: int = 10) -> list[Neighbour]:
        """The `k` words nearest to a word by cosine, itself left out. Raises InvalidInput."""
        return self._best(normalise(self.vector(word)[None], allow_zero=True)[0], {self._written(word)}, k)

    def analogy(self, a: str, b: str, c: str, *, k: int = 10) -> list[Neighbour]:
        """What is to `c` as `b` is to `a`: the words nearest to b - a + c, these three left out.

        3CosAdd over unit vectors, Mikolov, Yih and Zweig 2013, "Linguistic regularities in continuous space
        word representations". Raises InvalidInput.
        """
        first, second, third = normalise(np.stack([self.vector(word) for word in (a, b, c)]), allow_zero=True)
        aim = normalise((second - first + third)[None], allow_zero=True)[0]
        return self._best(aim, {self._written(word) for word in (a, b, c)}, k)

    def near_spellings(self, word: str, *, n: int = 3) -> list[str]:
        """Words spelled like this one, the likest first."""
        written = self._written(word)
        alike = [other for other in self.words if abs(len(other) - len(written)) <= 2]
        return get_close_matches(written, alike, n=n, cutoff=0.7)

    @cached_property
    def unit(self) -> Float[np.ndarray, "words dim"]:
        """The rows at unit length; zero rows stay zero."""
        return normalise(self.vectors.data, allow_zero=True)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {word: at for at, word in enumerate(self.words)}

    def _written(self, word: str) -> str:
        return lower(word) if self.lowercase else word

    def _best(self, aim: Float[np.ndarray, " dim"], left_out: set[str], k: int) -> list[Neighbour]:
        if k < 1:
            raise InvalidInput(f"k is {k}", expected="k of at least 1")
        near = self.unit @ aim
        for word in left_out & self._places.keys():
            near[self._places[word]] = -np.inf
        at, cosines = top_k(near, np.arange(len(near)), k)
        return [(self.words[i], float(score)) for i, score in zip(at, cosines, strict=True)]

    def _unknown(self, word: str) -> InvalidInput:
        alike = self.near_spellings(word)
        return InvalidInput(
            f"the word {word!r} is not among the {len(self):,} words of {self.space.name}",
            expected="a word of the vocabulary" + (f", such as {', '.join(alike)}" if alike else ""),
            hint="look at the spelling; words that came too rarely in training were left out",
        )


def space_of(
    words: Sequence[str], rows: Float[np.ndarray, "words dim"], subwords: Subwords | None, *, name: str
) -> Space:
    """The space that words and rows make, by their content; no name and no path goes in."""
    digest = hashlib.sha256(b"gnomon-words-1\n")
    digest.update("\n".join(words).encode("utf-8", "surrogatepass"))
    digest.update(f"\n{rows.shape}\n".encode() + np.ascontiguousarray(rows, dtype="<f4").tobytes())
    if subwords is not None:
        digest.update(repr(subwords.settings).encode() + subwords.buckets.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(subwords.rows, dtype="<f4").tobytes())
    return Space(digest.hexdigest(), rows.shape[1], "dot", "float", name)
