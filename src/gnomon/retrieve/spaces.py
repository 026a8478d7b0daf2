"""Further dense encoders beside a version's own: each in its own space, and only their rankings are put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal, get_args

import numpy as np

from gnomon.core.contracts import Encoder, Retriever
from gnomon.core.errors import InvalidInput
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Query, Ranking
from gnomon.core.serialize import from_plain
from gnomon.kernels.ranking import Ids, Scores
from gnomon.retrieve.filter import VectorsOf
from gnomon.retrieve.rerank import check_depth, check_weight, rerank
from gnomon.retrieve.retrievers import encoded_queries

SpacePlace = Literal["beside", "second-stage"]


@dataclass(frozen=True)
class SpaceSettings:
    """A further dense encoder, by its name, and its place in a hybrid search.

    "beside": every passage has a vector of its own in this space too, whose ranking is one more list of the fusion.
    "second-stage": the model scores the first `depth` fused results only, with `weight` against 1 - `weight` of the
    fused score, each stretched to 0 to 1; its vectors are made when they are first needed, and kept.
    `fingerprint` (hex SHA-256) is that of the space that a collection was set up with; it is filled in there.
    Raises InvalidInput for no name, another place, a depth below 1 and a weight that is not above 0 and at most 1.
    """

    model: str
    place: SpacePlace = "beside"
    depth: int = 200
    weight: float = 0.3
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise InvalidInput(f"spaces.model = {self.model!r}", expected="a model's name or folder")
        if self.place not in get_args(SpacePlace):
            raise InvalidInput(f"spaces.place {self.place!r}", expected=f"one of {', '.join(get_args(SpacePlace))}")
        check_depth(self.depth)
        check_weight(self.weight)


def space_settings(given: Iterable[SpaceSettings | Mapping[str, Any] | str] | str) -> tuple[SpaceSettings, ...]:
    """Settings of spaces from names, plain mappings or themselves. Raises InvalidInput for a model that is there twice.

    >>> space_settings(["gte-small"])[0].place
    'beside'
    """
    if not isinstance(given, str | Iterable):
        raise InvalidInput(f"spaces = {given!r}", expected="a list of models' names, or of tables with a model")
    found: list[SpaceSettings] = []
    for one in [given] if isinstance(given, str) else given:
        if isinstance(one, str):
            found.append(SpaceSettings(one))
        else:
            found.append(one if isinstance(one, SpaceSettings) else from_plain(SpaceSettings, one, name="spaces"))
    models = [one.model for one in found]
    twice = next((model for at, model in enumerate(models) if model in models[:at]), None)
    if twice is not None:
        raise InvalidInput(f"the model {twice} twice", expected="spaces of different models", hint="name each once")
    return tuple(found)


def list_names(spaces: Sequence[SpaceSettings]) -> tuple[str, ...]:
    """What the ranking of each space is called in a hit's scores.

    >>> list_names(space_settings(["gte-small", "/models/gte-small"]))
    ('dense:gte-small', 'dense:gte-small-2')
    """
    found: list[str] = []
    for one in spaces:
        name = f"dense:{PurePath(one.model).name or one.model}"
        count = sum(other == name or other.startswith(f"{name}-") for other in found)
        found.append(name if name not in found else f"{name}-{count + 1}")
    return tuple(found)


@dataclass(frozen=True)
class SecondStage:
    """Scores the first `depth` results of another retriever by the similarity of a further space's vectors.

    Loses no candidate, as `Rerank`: those without a vector come after the scored ones. `vectors_of` gives the
    candidates' vectors. `name` is the stage that holds the similarity; "found" is the first score.
    """

    part: Retriever
    encoder: Encoder
    vectors_of: VectorsOf
    settings: SpaceSettings
    name: str

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query."""
        if not queries:
            return []
        depth, weight = self.settings.depth, self.settings.weight
        found = self.part(queries, k=max(k, depth))
        vectors, unknown = encoded_queries(self.encoder, queries)
        out = []
        for at, (query, ranking) in enumerate(zip(queries, found, strict=True)):
            if unknown[at]:
                out.append(ranking.first(k))
                continue
            own = vectors.take([at])

            def judge(_: str, candidates: Ids, own: Any = own) -> tuple[Ids, Scores]:
                ids, rows = self.vectors_of(candidates)
                rows.space.require(own.space)
                return ids, np.asarray(own.similarity(rows)[0], dtype=np.float32)

            with stage("second stage"):
                mixed = rerank(ranking, judge, query.text, stage=self.name, depth=depth, weight=weight)
            out.append(mixed.first(k))
        return out
