"""Two towers in one space: queries go through one encoder, documents through another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from gnomon.core.contracts import Encoder, Role, RoleMethods
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Ingredients, Space
from gnomon.core.token_counting import TokenCounting
from gnomon.core.vectors import Vectors
from gnomon.encode.digest import digest_json
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.settings import EncoderSettings, check_dim


class DualEncoder(RoleMethods):
    """Encodes queries with one encoder and documents with another, trained to meet in one space.

    The space's fingerprint digests both. `max_tokens` and the tokenizer are the document tower's, since
    documents are what is cut to them; over-long queries are warned of by the query tower at its own limit.
    `dim` keeps the first dimensions only. Raises ModelUnsupported for towers that cannot be compared.
    """

    def __init__(self, query: Encoder, document: Encoder, *, name: str = "dual", dim: int | None = None) -> None:
        _require_comparable(query.space, document.space)
        check_dim(EncoderSettings(dim=dim), document.space.dim, name)
        self._towers: Mapping[Role, Encoder] = {"query": query, "document": document}
        self._name, self._dim = name, dim

    @cached_property
    def _full_space(self) -> Space:
        spaces = {role: tower.space for role, tower in self._towers.items()}
        own = {role: space.fingerprint for role, space in spaces.items()}
        either = spaces["document"]
        ingredients = Ingredients(
            weights=digest_json(own),
            architecture="dual",
            tokenizer="of each tower",
            pooling="of each tower",
            projection="of each tower",
            prompts={},
            normalise=either.similarity == "cosine",
            max_tokens=self.max_tokens,
            dim=either.dim,
            similarity=either.similarity,
            precision=either.precision,
        )
        return Space.of(ingredients, name=self._name)

    @property
    def space(self) -> Space:
        """The one space of both towers, or its prefix where `dim` is set."""
        return self._full_space.truncate(self._dim or self._full_space.dim)

    @property
    def max_tokens(self) -> int:
        """The longest document read whole, in the document tower's tokens."""
        return self._towers["document"].max_tokens

    @property
    def lanes(self) -> int:
        """How many calls of `encode` run at once: those of the query tower."""
        return int(getattr(self._towers["query"], "lanes", 1))

    @property
    def tokenizer_json(self) -> str | None:
        """The document tower's."""
        return self._towers["document"].tokenizer_json

    @property
    def token_counting(self) -> TokenCounting | None:
        """How documents' tokens are counted, for a process without the model; None where that tower does not say."""
        return getattr(self._towers["document"], "token_counting", None)

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Each text's length in the tokens of its role's tower, special tokens and prompt included."""
        return self._tower(role).count_tokens(texts, role=role)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One item a text from its role's tower. Warns and raises as the tower does."""
        own = self._tower(role).encode(texts, role=role)
        vectors = Vectors(own.data, self._full_space, own.starts)
        return vectors if self._dim is None else vectors.truncate(self._dim)

    def _tower(self, role: Role) -> Encoder:
        if role not in self._towers:
            raise InvalidInput(f"role {role!r}", expected=f"one of {', '.join(self._towers)}")
        return self._towers[role]


def build_dual_encoder(towers: Mapping[Role, ModelLayout], *, name: str, settings: EncoderSettings) -> DualEncoder:
    """The encoder of a folder's two towers, each a transformer or a static model."""
    whole = replace(settings, dim=None)
    query, document = (_encoder(towers["query"], whole), _encoder(towers["document"], whole))
    return DualEncoder(query, document, name=name, dim=settings.dim)


def _encoder(layout: ModelLayout, settings: EncoderSettings) -> Encoder:
    if layout.kind == "static":
        from gnomon.encode.static import StaticEncoder

        return StaticEncoder(layout, settings)
    from gnomon.encode.transformer import TransformerEncoder

    return TransformerEncoder(layout, settings)


def _require_comparable(query: Space, document: Space) -> None:
    for what in ("dim", "similarity", "precision"):
        one, other = getattr(query, what), getattr(document, what)
        if one != other:
            raise ModelUnsupported(
                f"a query tower of {what} {one} beside a document tower of {what} {other}",
                expected=f"towers of one {what}",
                hint="train both to one number of dimensions, as a Dense module in each route does"
                if what == "dim"
                else f"give both the same {what}",
            )
