"""What all encoders share: a method for each role, and one class to wrap another encoder with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from gnomon.core.contracts import Encoder, Role
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors


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
