"""An encoder whose document vectors are those that a smaller vector type keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.space import Space
from gnomon.core.usage import DelegatingMeteredEncoder, EncodedBatch, MaySend, MeteredEncoder, always
from gnomon.core.vector_types import VectorType, rounding
from gnomon.core.vectors import Vectors


class StoredEncoder(DelegatingEncoder):
    """Another encoder, in the space `stored_as` a vector type: documents are rounded to it, queries are not.

    Raises InvalidInput for an unknown type, and for an encoder of several vectors a text.
    """

    def __init__(self, encoder: Encoder, vector_type: VectorType) -> None:
        super().__init__(encoder)
        self._space = encoder.space.stored_as(vector_type)

    @property
    def space(self) -> Space:
        """The wrapped encoder's space, stored as the vector type."""
        return self._space

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The wrapped encoder's vectors; documents' rounded to what is stored of them."""
        return self.stored(self.encoder.encode(texts, role=role), role=role)

    def stored(self, vectors: Vectors, *, role: Role) -> Vectors:
        """Vectors of the wrapped encoder's space in this one. Raises SpaceMismatch for others."""
        self.encoder.space.require(vectors.space)
        rows = rounding(self._space.vector_type)(vectors.data) if role == "document" else vectors.data
        return Vectors(rows, self._space)


class StoredMeteredEncoder(DelegatingMeteredEncoder, StoredEncoder):
    """The same for an encoder that sends texts to a server."""

    def encode_batches(self, texts: Sequence[str], *, role: Role, may_send: MaySend = always) -> Iterator[EncodedBatch]:
        """The wrapped encoder's, stored."""
        for batch in self.encoder.encode_batches(texts, role=role, may_send=may_send):
            yield replace(batch, vectors=self.stored(batch.vectors, role=role))


def stored_as(encoder: Encoder, vector_type: VectorType) -> Encoder:
    """The encoder with its documents' vectors rounded to a type; itself where that keeps them whole."""
    if vector_type == "float32":
        return encoder
    return (StoredMeteredEncoder if isinstance(encoder, MeteredEncoder) else StoredEncoder)(encoder, vector_type)


def unrounded(encoder: Encoder) -> Encoder:
    """The encoder beneath a `StoredEncoder`, however deep it is wrapped; else the encoder itself."""
    inner: object = encoder
    while isinstance(inner, DelegatingEncoder):
        if isinstance(inner, StoredEncoder):
            return inner.encoder
        inner = inner.encoder
    return encoder
