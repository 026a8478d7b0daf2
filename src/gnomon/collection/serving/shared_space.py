"""Queries by another model than the documents', where both share one space by their makers' word, which is tested."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from gnomon.collection.catalog.canaries import SERVER_CANARIES
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Encoder, Role, RoleMethods
from gnomon.core.errors import SpaceMismatch, WeightsMismatch
from gnomon.core.similarity import normalise
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors


class SharedSpaceEncoder(RoleMethods):
    """Documents by one encoder, queries by another, all in the documents' space. Each is opened when first needed."""

    def __init__(self, space: Space, *, documents: Callable[[], Encoder], queries: Callable[[], Encoder]) -> None:
        self.space = space
        self._open: dict[Role, Callable[[], Encoder]] = {"document": documents, "query": queries}
        self._encoders: dict[Role, Encoder] = {}
        self._lock = threading.Lock()

    def of(self, role: Role) -> Encoder:
        """The encoder of a role. Raises what opening it raises."""
        with self._lock:
            if role not in self._encoders:
                self._encoders[role] = self._open[role]()
            return self._encoders[role]

    @property
    def max_tokens(self) -> int:
        """The longest document read whole."""
        return self.of("document").max_tokens

    @property
    def tokenizer_json(self) -> str | None:
        """That of documents."""
        return self.of("document").tokenizer_json

    @property
    def lanes(self) -> int:
        """How many calls of `encode` run at once: those of queries."""
        return int(getattr(self.of("query"), "lanes", 1))

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """As the role's encoder counts."""
        return self.of(role).count_tokens(texts, role=role)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """By the role's encoder, as vectors of the documents' space."""
        return Vectors(self.of(role).encode(texts, role=role).data, self.space)


def for_role(encoder: Encoder, role: Role) -> Encoder:
    """The encoder of one role where there are two, else the encoder itself."""
    return encoder.of(role) if isinstance(encoder, SharedSpaceEncoder) else encoder


def resolve_query_encoder(
    settings: RetrievalSettings, documents: Encoder, load: Callable[[str, Space], Encoder], *, again: bool = False
) -> RetrievalSettings:
    """The settings with the fingerprint of their query encoder, once it is certain that it shares the space.

    One that has its fingerprint was tested, and is tested `again` where the documents' model is another one. Raises
    SpaceMismatch where the claim does not hold, and what loading it raises.
    """
    query = settings.query_encoder
    if query is None or (query.fingerprint and not again):
        return settings
    encoder = load(query.model, documents.space)
    require_shared_space(documents, encoder)
    return replace(settings, query_encoder=replace(query, fingerprint=encoder.space.fingerprint))


def require_shared_space(documents: Encoder, queries: Encoder) -> None:
    """Raise SpaceMismatch unless both models give half of some texts vectors nearer to each other than to any other's.

    The texts are of many languages and kinds, and a student of the documents' model need know those of its documents
    alone: how well it searches is for a gate to say. Of two models that have nothing in common a sixteenth are so.
    """
    same_form = [(each.space.dim, each.space.similarity) for each in (documents, queries)]
    if same_form[0] != same_form[1]:
        raise SpaceMismatch(
            f"{queries.space.short} for queries beside {documents.space.short} for documents",
            expected="one number of dimensions and one similarity",
            hint="name a model of the same family",
        )
    texts = [text for _, text in SERVER_CANARIES]
    one, other = (normalise(np.array(each.encode(texts, role="document").data)) for each in (documents, queries))
    cosines = one @ other.T
    own, rest = np.diag(cosines), cosines[~np.eye(len(texts), dtype=bool)].reshape(len(texts), -1)
    alike = int((own > np.maximum(rest.max(axis=1), (cosines - 2 * np.eye(len(texts))).max(axis=0))).sum())
    if 2 * alike < len(texts):
        raise SpaceMismatch(
            f"{queries.space.short} does not share the space of {documents.space.short}: of {len(texts)} texts "
            f"{alike} are nearest to themselves across the two (cosine {own.mean():.2f} on average to themselves, "
            f"{rest.mean():.2f} to others)",
            expected=f"at least {-(-len(texts) // 2)}; of two spaces one or two are by chance",
            hint="search with the documents' own model, or with one whose maker says that it shares its space",
        )


def checked_query_encoder(encoder: Encoder, *, model: str, fingerprint: str) -> Encoder:
    """The encoder, where it is the one that was tested. Raises WeightsMismatch."""
    if encoder.space.fingerprint != fingerprint:
        raise WeightsMismatch(
            f"the query encoder {model} is another model than the one that was set",
            expected=f"the model {fingerprint[:12]}",
            hint="put it back; or go back to the version before it (gnomon rollback KB), and from there make one with "
            f"the new model: gnomon migrate KB --set query_encoder.model={model}",
        )
    return encoder
