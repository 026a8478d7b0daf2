"""Late interaction: a vector for every token, and the sum of each query token's nearest document token."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Similarity
from gnomon.encode.layout.late_interaction import LateInteractionLayout
from gnomon.train.contracts import Features, Kind, Reps
from gnomon.train.models.backbone import TrainableBackbone, pad_ids
from gnomon.train.models.layers import TrainableProjection, maxsim, open_projection
from gnomon.train.models.save import ModuleWriter, replacing_model, write_json, write_sentence_model
from gnomon.train.models.towers import ModelPrompts

_TOKENS = "token_embeddings"


@dataclass(frozen=True)
class LateSettings:
    """Settings of a late interaction model beside its network.

    A query is cut, or filled with mask tokens, to `query_tokens`; None leaves queries as they are. With
    `attend` the other tokens see the fillers. Documents' tokens that are in `skip` are not scored.
    """

    query_tokens: int | None = 32
    attend: bool = False
    skip: tuple[str, ...] = tuple(string.punctuation)


class TrainableLateInteraction(nn.Module):  # type: ignore[misc]
    """An `Embedder`. Khattab and Zaharia 2020, ColBERT (arXiv:2004.12832).

    Raises ModelUnsupported where queries are to be filled and the tokenizer has no mask token.
    """

    kind: Kind = "late"
    similarity: Similarity = "maxsim"

    def __init__(
        self,
        backbone: TrainableBackbone,
        projection: TrainableProjection,
        *,
        settings: LateSettings | None = None,
        prompts: ModelPrompts | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.projection = backbone, projection
        self.settings, self.prompts = settings or LateSettings(), prompts or ModelPrompts()
        tokenizer, wide = backbone.tokenizer, self.settings.query_tokens
        if wide is not None and wide > tokenizer.max_tokens:
            raise InvalidInput(
                f"queries of {wide} tokens for a model of {tokenizer.max_tokens}",
                expected="query_tokens that the model can read",
            )
        self._queries = tokenizer if wide is None else tokenizer.with_limit(wide)
        self._mask_id = tokenizer.special_id("mask_token")
        if wide is not None and self._mask_id is None:
            raise ModelUnsupported(
                "queries filled with mask tokens, and a tokenizer without one",
                expected="a tokenizer with a mask token",
                hint="set query_tokens to None: queries are then left as they are",
            )
        unknown = tokenizer.special_id("unk_token")
        found = (tokenizer.id_of(word) for word in self.settings.skip)
        ids = sorted({one for one in found if one is not None and one != unknown})
        self.register_buffer("_skip", torch.tensor(ids, dtype=torch.long), persistent=False)

    @property
    def dim(self) -> int:
        """Dimensions of a token's vector."""
        return self.projection.out_dim

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts tokenised; queries are filled up only in `embed`."""
        prompt = self.prompts.of(role, source)
        tokenizer = self._queries if role == "query" else self.backbone.tokenizer
        return Features(tokenizer.encode([prompt + text for text in texts] if prompt else texts), role)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """A vector a token for each layer asked for, and the mask of those that are scored."""
        backbone, wide = self.backbone, self.settings.query_tokens
        if features.role == "query" and wide is not None:
            ids, mask = pad_ids(features.ids, self._mask_id or 0, backbone.device, at_least=wide)
            scored = torch.ones_like(ids, dtype=torch.bool)
            hidden = backbone.run(ids, None if self.settings.attend else mask, layers)
        else:
            ids, mask = pad_ids(features.ids, backbone.pad_id, backbone.device)
            scored = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
            if features.role == "document" and len(self._skip):
                scored = scored & ~torch.isin(ids, self._skip)
            hidden = backbone.run(ids, mask, layers)
        return [Reps(self.projection(one), scored) for one in hidden]

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] sums of each query token's greatest cosine."""
        return maxsim(queries, documents)

    def save(self, folder: Path) -> None:
        """Write sentence-transformers' MultiVectorEncoder: Transformer, Dense, MultiVectorMask, Normalize."""
        with replacing_model(folder) as made:
            modules = ModuleWriter(made)
            modules.add_backbone(self.backbone.save, _expansion(self.settings))
            self.projection.save(modules.add("Dense"), between=_TOKENS)
            skip = {"skiplist_words": list(self.settings.skip), "skiplist_tasks": ["document"]}
            where = modules.add("MultiVectorMask") / "config.json"
            write_json(where, {**skip, "keep_only_token_ids": None})
            modules.add_normalize(_TOKENS)
            write_sentence_model(
                made, modules, prompts=self.prompts.texts, similarity=None, model_type="MultiVectorEncoder"
            )


def open_late(
    layout: LateInteractionLayout, backbone: TrainableBackbone, prompts: ModelPrompts
) -> TrainableLateInteraction:
    """The model of a folder. Raises ModelUnsupported for what is served and cannot be trained further."""
    expansion = layout.expansion
    mask = backbone.tokenizer.special_id("mask_token")
    odd = {
        f"{len(layout.projections)} Dense layers": len(layout.projections) != 1,
        f"the query_expansion {expansion}": expansion is not None
        and (expansion.strategy != "fixed" or backbone.tokenizer.id_of(expansion.token) != mask),
        f"a skiplist for {', '.join(layout.skiplist_roles)}": bool(layout.skiplist)
        and tuple(layout.skiplist_roles) != ("document",),
        "queries of their own length": expansion is None and len(set(layout.limits.values())) > 1,
    }
    for came, is_odd in odd.items():
        if is_odd:
            raise ModelUnsupported(
                f"{layout.name}, a late interaction model with {came}",
                expected="one Dense, queries filled with mask tokens to a fixed length, a documents' skiplist",
                hint="start a new late interaction model from its backbone",
            )
    settings = LateSettings(
        expansion.length if expansion else None, bool(expansion and expansion.attend), layout.skiplist
    )
    return TrainableLateInteraction(
        backbone, open_projection(layout.projections[0]), settings=settings, prompts=prompts
    )


def _expansion(settings: LateSettings) -> dict[str, Any]:
    if settings.query_tokens is None:
        return {}
    filled = {"strategy": "fixed", "attend": settings.attend, "token": None, "length": settings.query_tokens}
    return {"query_expansion": filled}
