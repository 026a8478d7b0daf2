"""A tower: network, pooling, projections, prompts. One makes a bi-encoder, two a dual encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from gnomon.core.contracts import Role
from gnomon.train.backbone import Backbone
from gnomon.train.contracts import Features, Reps
from gnomon.train.pooling import Pool
from gnomon.train.projection import Projection


@dataclass(frozen=True)
class Prompts:
    """What is put before texts: by role ("query"), or by source and role ("nq/query"), which wins.

    With `pooled` False the prompt is read, and its tokens do not count in pooling.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    pooled: bool = True

    def of(self, role: Role, source: str) -> str:
        """The prompt of texts of this role from this source; "" for none."""
        return self.texts.get(f"{source}/{role}", self.texts.get(role, ""))


class Tower(nn.Module):  # type: ignore[misc]
    """Texts to one vector each."""

    def __init__(self, backbone: Backbone, pool: Pool, projections: Sequence[Projection] = ()) -> None:
        super().__init__()
        self.backbone, self.pool = backbone, pool
        self.projections = nn.ModuleList(projections)

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return int(self.projections[-1].out_dim) if len(self.projections) else self.backbone.dim

    def features(self, texts: Sequence[str], role: Role, prompts: Prompts, source: str) -> Features:
        """The texts tokenised, with their prompt."""
        prompt = prompts.of(role, source)
        tokenizer = self.backbone.tokenizer
        ids = tokenizer.encode([prompt + text for text in texts] if prompt else texts)
        return Features(ids, role, skip=0 if prompts.pooled else tokenizer.leading(prompt))

    def embed(self, features: Features, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """One vector a text for each layer asked for; pooling and projections are the same for all."""
        found, mask = self.backbone.embed(features.ids, layers)
        return [Reps(self._finished(hidden, mask, features.skip)) for hidden in found]

    def _finished(self, hidden: Tensor, mask: Tensor | None, skip: int) -> Tensor:
        pooled: Tensor = self.pool(hidden, mask, skip)
        for projection in self.projections:
            pooled = projection(pooled)
        return pooled
