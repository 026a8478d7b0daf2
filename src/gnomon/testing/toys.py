"""Toy encoders: deterministic, instant, no files."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np

from gnomon.core.contracts import Role, RoleMethods
from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.core.similarity import normalise
from gnomon.core.space import Ingredients, Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.core.vectors import Vectors

_WORD = re.compile(r"\w+")


class HashEncoder(RoleMethods):
    """A bag of words, each hashed to a fixed random direction: texts that share words are near.

    `salt` makes another space of the same dimensions, as another model would.
    """

    def __init__(self, dim: int = 32, *, salt: str = "", max_tokens: int = 64) -> None:
        self._max_tokens, self._salt = max_tokens, salt
        self._directions: dict[str, np.ndarray[tuple[int], np.dtype[np.float32]]] = {}
        digest = hashlib.sha256(f"hash-encoder {salt}".encode()).hexdigest()
        ingredients = Ingredients(
            weights=digest,
            architecture="hash",
            tokenizer="words",
            pooling="mean",
            projection="",
            prompts={},
            normalise=True,
            max_tokens=max_tokens,
            dim=dim,
            similarity="cosine",
            precision="float",
        )
        self.space = Space.of(ingredients, name=f"hash-{dim}{'-' + salt if salt else ''}")

    @property
    def max_tokens(self) -> int:
        """The longest text, in words."""
        return self._max_tokens

    @property
    def tokenizer_json(self) -> str | None:
        """None: words are counted by `count_tokens`."""
        return None

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Words a text, at least 1: an empty text counts as one."""
        _check(texts, role)
        return [max(1, len(_WORD.findall(text))) for text in texts]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One row a text; both roles share the directions. Warns TruncatedText beyond `max_tokens`."""
        longest = max(self.count_tokens(texts, role=role), default=0)
        if longest > self._max_tokens:
            warnings.warn(
                f"a text of {longest} words; {self.space.name} reads the first {self._max_tokens}",
                TruncatedText,
                stacklevel=2,
            )
        rows = np.zeros((len(texts), self.space.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in _WORD.findall(text.lower())[: self._max_tokens] or ["(empty)"]:
                row += self._direction(word)
        return Vectors(normalise(rows), self.space)

    def _direction(self, word: str) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        if word not in self._directions:
            seed = int.from_bytes(hashlib.sha256(f"{self._salt}\n{word}".encode()).digest()[:8], "big")
            self._directions[word] = np.random.default_rng(seed).standard_normal(self.space.dim).astype("f4")
        return self._directions[word]


class LateHashEncoder(RoleMethods):
    """A vector a word, from HashEncoder's directions: for MaxSim. Its texts share words, or nothing."""

    def __init__(self, dim: int = 32, *, salt: str = "", max_tokens: int = 64) -> None:
        self._words = HashEncoder(dim, salt=f"late {salt}", max_tokens=max_tokens)
        self.space = replace(self._words.space, similarity="maxsim", name=f"late-{self._words.space.name}")

    @property
    def max_tokens(self) -> int:
        """The longest text, in words."""
        return self._words.max_tokens

    @property
    def tokenizer_json(self) -> str | None:
        """None: words are counted by `count_tokens`."""
        return None

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Words a text, at least 1: an empty text counts as one."""
        return self._words.count_tokens(texts, role=role)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """A row a word, at least one a text. Warns TruncatedText beyond `max_tokens`."""
        counts = self.count_tokens(texts, role=role)
        if max(counts, default=0) > self.max_tokens:
            warnings.warn(f"a text of {max(counts)} words", TruncatedText, stacklevel=2)
        words = [_WORD.findall(text)[: self.max_tokens] or [""] for text in texts]
        rows = self._words.encode([word for text in words for word in text], role=role)
        lengths = np.array([len(text) for text in words], dtype=np.int64)
        return Vectors(rows.data, self.space, np.cumsum(lengths) - lengths)


def _check(texts: Sequence[str], role: Role) -> None:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise InvalidInput("texts that are not a sequence of strings", expected='a list such as ["one text"]')
    if role not in get_args(Role):
        raise InvalidInput(f"role {role!r}", expected=f"one of {', '.join(get_args(Role))}")


class SparseHashEncoder:
    """Counts words: a dimension a word, hashed into `dim` of them, with the weight log(1 + count).

    `salt` makes another space of the same dimensions, as another model would.
    """

    def __init__(self, dim: int = 4096, *, salt: str = "", max_tokens: int = 64) -> None:
        self.max_tokens, self._salt = max_tokens, salt
        ingredients = Ingredients(
            weights=hashlib.sha256(f"sparse-hash-encoder {salt}".encode()).hexdigest(),
            architecture="sparse hash",
            tokenizer="words",
            pooling="count",
            projection="",
            prompts={},
            normalise=False,
            max_tokens=max_tokens,
            dim=dim,
            similarity="dot",
            precision="float",
        )
        self.space = Space.of(ingredients, name=f"sparse-hash-{dim}{'-' + salt if salt else ''}")

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Words a text, at least 1: an empty text counts as one."""
        _check(texts, role)
        return [max(1, len(_WORD.findall(text))) for text in texts]

    def encode(self, texts: Sequence[str], *, role: Role) -> SparseVectors:
        """One row a text, empty without a word. Warns TruncatedText beyond `max_tokens`."""
        longest = max(self.count_tokens(texts, role=role), default=0)
        if longest > self.max_tokens:
            warnings.warn(
                f"a text of {longest} words; {self.space.name} reads the first {self.max_tokens}",
                TruncatedText,
                stacklevel=2,
            )
        rows = []
        for text in texts:
            words = [self._dimension(word) for word in _WORD.findall(text.lower())[: self.max_tokens]]
            dimensions, counts = np.unique(np.array(words, dtype=np.int32), return_counts=True)
            rows.append((dimensions, np.log1p(counts).astype(np.float32)))
        return SparseVectors.of(rows, self.space)

    def _dimension(self, word: str) -> int:
        digest = hashlib.sha256(f"{self._salt}\n{word}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.space.dim
