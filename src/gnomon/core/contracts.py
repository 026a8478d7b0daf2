"""The protocols of exchangeable parts, and what encoders share. `gnomon.testing` has a conformance check for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.documents import Document
from gnomon.core.ranking import Query, Ranking
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.core.token_counting import TokenCounting
from gnomon.core.vectors import Vectors

Role = Literal["query", "document"]


@runtime_checkable
class Encoder(Protocol):
    """Texts to vectors of one space."""

    @property
    def space(self) -> Space:
        """The space of every vector that this encoder makes."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest text it reads whole, in tokens, special tokens and prompt included."""
        ...

    @property
    def tokenizer_json(self) -> str | None:
        """The tokenizer in the `tokenizers` library's JSON; None where there is none to share."""
        ...

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Each text's length in tokens as `encode` sees it: special tokens and the role's prompt included."""
        ...

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One item a text, in the order given. Warns TruncatedText of over-long texts, or refuses them (InvalidInput).

        Raises InvalidInput for a lone string or an item that is not one.
        """
        ...


class SparseTextEncoder(Protocol):
    """Texts to sparse vectors of one space."""

    @property
    def space(self) -> Space:
        """The space of every vector that this encoder makes, of similarity "dot"."""
        ...

    @property
    def max_tokens(self) -> int:
        """The longest document it reads whole, in tokens, special tokens and prompt included."""
        ...

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Each text's length in tokens as `encode` sees it: special tokens and the role's prompt included."""
        ...

    def encode(self, texts: Sequence[str], *, role: Role) -> SparseVectors:
        """One row a text, in the order given, empty where nothing of the text counts. Warns TruncatedText.

        Raises InvalidInput for a lone string or an item that is not one.
        """
        ...


class VectorSearch(Protocol):
    """What finds the nearest vectors of one space: an index, or a store in its place."""

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        ...

    def search(self, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None) -> list[Ranking]:
        """The `k` nearest of each query, of the allowed ids where some are given: see `Index.search`."""
        ...


@runtime_checkable
class Index(Protocol):
    """Vectors of one space by integer id."""

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        ...

    def __len__(self) -> int:
        """How many ids it holds."""
        ...

    def add(self, ids: Int[np.ndarray, " items"], vectors: Vectors) -> None:
        """Put vectors in; an id that is there already gets its new vector.

        Raises SpaceMismatch for another space, InvalidVectors for zero vectors or repeated ids.
        """
        ...

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        ...

    def search(self, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None) -> list[Ranking]:
        """The `k` most similar of the allowed ids for each query; equal scores in order of id.

        Scores are the space's similarity, higher is nearer (euclidean: the negative distance).
        Raises SpaceMismatch, and InvalidInput for k < 1. Fewer than k come back when fewer are there.
        """
        ...


@runtime_checkable
class TextIndex(Protocol):
    """Texts by integer id, searched by their words."""

    def __len__(self) -> int:
        """How many ids it holds."""
        ...

    def add(self, ids: Int[np.ndarray, " items"], titles: Sequence[str], texts: Sequence[str]) -> None:
        """Put texts in; an id that is there already gets its new text."""
        ...

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        ...

    def search(
        self, queries: Sequence[str], *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` best of the allowed ids for each query; equal scores in order of id."""
        ...


class SparseVectorIndex(Protocol):
    """Sparse vectors of one space by integer id."""

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        ...

    def __len__(self) -> int:
        """How many ids it holds."""
        ...

    def add(self, ids: Int[np.ndarray, " items"], vectors: SparseVectors) -> None:
        """Put vectors in; an id that is there already gets its new vector. Raises SpaceMismatch for another space."""
        ...

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        ...

    def search(
        self, queries: SparseVectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` ids of the allowed ones with the greatest dot products above 0; equal scores in order of id.

        Raises SpaceMismatch, and InvalidInput for k < 1.
        """
        ...


class Retriever(Protocol):
    """Queries to rankings. Everything that searches is one, and they wrap each other."""

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks for each query, best first."""
        ...


class Scorer(Protocol):
    """Judges texts against a query one pair at a time, as a cross-encoder does."""

    def score(self, query: str, texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
        """One score a text, higher is better."""
        ...


@runtime_checkable
class Reranker(Scorer, Protocol):
    """A scorer that a collection can name: what `load_scorer` opens."""

    @property
    def name(self) -> str:
        """The model's, for people."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of what decides its scores."""
        ...


class Reader(Protocol):
    """A file to documents."""

    def __call__(self, path: Path) -> Iterator[Document]:
        """The file's documents. Raises UnreadableFile."""
        ...


Array = np.ndarray[Any, np.dtype[Any]]


@runtime_checkable
class RoleEncoder(Encoder, Protocol):
    """An encoder with a method for each role, as every encoder of gnomon is."""

    def encode_query(self, texts: str | Sequence[str]) -> Vectors:
        """`encode` with the role "query"; a lone string is one text."""
        ...

    def encode_document(self, texts: str | Sequence[str]) -> Vectors:
        """`encode` with the role "document"; a lone string is one text."""
        ...


class RoleMethods:
    """`encode_query` and `encode_document` for a class that has the `encode` of `Encoder`."""

    def encode_query(self: Encoder, texts: str | Sequence[str]) -> Vectors:
        """`encode` with the role "query"; a lone string is one text, and gives Vectors of one item."""
        return self.encode([texts] if isinstance(texts, str) else texts, role="query")

    def encode_document(self: Encoder, texts: str | Sequence[str]) -> Vectors:
        """`encode` with the role "document"; a lone string is one text, and gives Vectors of one item."""
        return self.encode([texts] if isinstance(texts, str) else texts, role="document")


class DelegatingEncoder(RoleMethods):
    """Does everything as the wrapped `encoder` does. A subclass overrides what it does in another way."""

    encoder: Encoder

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @property
    def space(self) -> Space:
        """The wrapped encoder's."""
        return self.encoder.space

    @property
    def max_tokens(self) -> int:
        """The wrapped encoder's."""
        return self.encoder.max_tokens

    @property
    def tokenizer_json(self) -> str | None:
        """The wrapped encoder's."""
        return self.encoder.tokenizer_json

    @property
    def token_counting(self) -> TokenCounting | None:
        """The wrapped encoder's, None where it does not say."""
        counting: TokenCounting | None = getattr(self.encoder, "token_counting", None)
        return counting

    @property
    def lanes(self) -> int:
        """How many calls of `encode` run at once: the wrapped encoder's, 1 where it does not say."""
        return int(getattr(self.encoder, "lanes", 1))

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """The wrapped encoder's."""
        return self.encoder.count_tokens(texts, role=role)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The wrapped encoder's."""
        return self.encoder.encode(texts, role=role)


def with_role_methods(encoder: Encoder) -> RoleEncoder:
    """The encoder itself, or one around it that has `encode_query` and `encode_document`."""
    return encoder if isinstance(encoder, RoleEncoder) else DelegatingEncoder(encoder)
