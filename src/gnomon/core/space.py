"""A vector space's identity: everything that decides a vector, digested into one fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.vector_types import VectorType, require_vector_type

Similarity = Literal["cosine", "dot", "euclidean", "maxsim"]
Precision = Literal["float", "int8"]
"""A precision class: `float` covers fp32, bf16 and fp16, whose vectors agree to cosine 0.9995."""


@dataclass(frozen=True)
class Ingredients:
    """All that decides a vector. Digests are hex SHA-256 of content; nothing here is a name or a path."""

    weights: str
    architecture: str
    tokenizer: str
    pooling: str
    projection: str
    prompts: Mapping[str, str]
    normalise: bool
    max_tokens: int
    dim: int
    similarity: Similarity
    precision: Precision

    def fingerprint(self) -> str:
        """Hex SHA-256 of the ingredients, independent of the order in which prompts are given."""
        plain = {**asdict(self), "prompts": sorted(self.prompts.items())}
        canonical = json.dumps(plain, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(b"gnomon-space-1\n" + canonical.encode()).hexdigest()


@dataclass(frozen=True)
class Space:
    """Where a vector lives. Two spaces are equal when their fingerprints are; `name` is for people only.

    `parent` is the fingerprint of the full space where this one is a Matryoshka prefix of it
    (Kusupati et al. 2022, arXiv:2205.13147), or holds its vectors in a smaller `vector_type`; else None.
    """

    fingerprint: str
    dim: int = field(compare=False)
    similarity: Similarity = field(compare=False)
    precision: Precision = field(compare=False)
    name: str = field(compare=False)
    parent: str | None = field(default=None, compare=False)
    vector_type: VectorType = field(default="float32", compare=False)

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise InvalidInput(f"a space of {self.dim} dimensions", expected="at least 1 dimension")
        if self.similarity not in get_args(Similarity):
            raise InvalidInput(f"similarity {self.similarity!r}", expected=f"one of {', '.join(get_args(Similarity))}")
        if self.precision not in get_args(Precision):
            raise InvalidInput(
                f"precision class {self.precision!r}", expected=f"one of {', '.join(get_args(Precision))}"
            )
        require_vector_type(self.vector_type)

    @classmethod
    def of(cls, ingredients: Ingredients, *, name: str) -> Space:
        """The space that these ingredients make."""
        return cls(
            fingerprint=ingredients.fingerprint(),
            dim=ingredients.dim,
            similarity=ingredients.similarity,
            precision=ingredients.precision,
            name=name,
        )

    @property
    def short(self) -> str:
        """The name with the fingerprint's first 12 digits, as shown to people."""
        precision = "" if self.precision == "float" else f"{self.precision}, "
        precision += "" if self.vector_type == "float32" else f"stored as {self.vector_type}, "
        return f"{self.name} ({self.dim}-d, {precision}{self.fingerprint[:12]})"

    def require(self, other: Space) -> None:
        """Raise SpaceMismatch unless `other` is this space."""
        if self.fingerprint == other.fingerprint:
            return
        alike = " They have the same dimensions, which says nothing." if self.dim == other.dim else ""
        raise SpaceMismatch(
            f"vectors of {other.short} met vectors of {self.short}.{alike}",
            expected=f"vectors of {self.short}",
            hint="encode both sides with one encoder; to change a collection's model, build a new one",
        )

    def require_one_vector(self, purpose: str) -> None:
        """Raise InvalidInput for a space of several vectors a text, which `purpose` cannot use."""
        if self.similarity == "maxsim":
            raise InvalidInput(
                f"{purpose} with {self.short}, which has several vectors a text",
                expected="a model with one vector a text",
                hint=f"leave {purpose} out, or take a model with one vector a text",
            )

    def truncate(self, dim: int) -> Space:
        """The Matryoshka prefix of the first `dim` dimensions: a space of its own that names its parent.

        Raises InvalidInput when `dim` is not between 1 and this space's dimensions.
        """
        if not 1 <= dim <= self.dim:
            raise InvalidInput(
                f"truncation of {self.short} to {dim} dimensions", expected=f"1 to {self.dim} dimensions"
            )
        if dim == self.dim:
            return self
        if self.vector_type != "float32":
            raise InvalidInput(
                f"truncation of {self.short}",
                expected="vectors of float32",
                hint="truncate first, and then store in another type",
            )
        root = self.parent or self.fingerprint
        digest = hashlib.sha256(f"gnomon-prefix-1\n{root}\n{dim}".encode()).hexdigest()
        return replace(self, fingerprint=digest, dim=dim, parent=root)

    def stored_as(self, vector_type: VectorType) -> Space:
        """The space of the same vectors, those of documents rounded to this type: one of its own, with a parent.

        Raises InvalidInput for an unknown type, and for several vectors a text.
        """
        require_vector_type(vector_type)
        if vector_type == self.vector_type:
            return self
        if self.vector_type != "float32" or self.similarity == "maxsim":
            raise InvalidInput(f"{self.short} stored as {vector_type}", expected="a space of one float32 vector a text")
        digest = hashlib.sha256(f"gnomon-stored-1\n{self.fingerprint}\n{vector_type}".encode()).hexdigest()
        root = self.parent or self.fingerprint
        return replace(self, fingerprint=digest, parent=root, vector_type=vector_type)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        plain: dict[str, Any] = to_plain(self)
        if self.vector_type == "float32":  # as it was written before there were others
            del plain["vector_type"]
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Space:
        """The space that `to_json` wrote."""
        return from_plain(cls, plain)
