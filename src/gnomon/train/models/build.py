"""A model to train, from a description: what a recipe says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from gnomon.core.errors import InvalidInput
from gnomon.core.space import Similarity
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.backbone import STATIC_MAX_TOKENS
from gnomon.train.contracts import Kind, Model
from gnomon.train.models.backbone import (
    Backbone,
    BackboneSettings,
    NewBackbone,
    base_folder,
    new_backbone,
    open_backbone,
)
from gnomon.train.models.cross_encoder import (
    MatchingCrossEncoder,
    matches,
    new_cross,
    open_cross,
    open_matching,
)
from gnomon.train.models.late_interaction import LateInteraction, LateSettings
from gnomon.train.models.load import LoadSettings, kind_in, load_model
from gnomon.train.models.pooling import Pool, PoolingName, Projection
from gnomon.train.models.static import distil_static, new_static
from gnomon.train.models.tokenizer import ModelTokenizer, open_tokenizer, train_tokenizer
from gnomon.train.models.towers import BiEncoder, DualEncoder, Prompts, Tower

Corpus = Callable[[], Iterable[str]]
Head = Literal["classifier", "maxsim"]
LATE_DIM, STATIC_DIM = 128, 256


@dataclass(frozen=True)
class Architecture:
    """What to build, and of what. None, 0 and no prompts: as the backbone's folder says.

    `backbone` is a folder, a hub id, a short name, or a new one; `document_backbone` is the dual encoder's
    second, by default made like the first. `dim` projects to these dimensions. `tokenizer` is that of a new
    backbone or a static table: a model's name, or "wordpiece" or "bpe" for one trained on the corpus.
    A static encoder is new (`backbone` a NewBackbone, of which only the seed counts) or distilled.
    """

    kind: Kind = "bi"
    backbone: str | Path | NewBackbone = "all-MiniLM-L6-v2"
    document_backbone: str | Path | NewBackbone | None = None
    pooling: PoolingName | None = None
    dim: int = 0
    max_tokens: int | None = None
    similarity: Similarity | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    pool_prompt: bool = True
    tokenizer: str | Path = "wordpiece"
    vocabulary: int = 30_000
    late: LateSettings = field(default_factory=LateSettings)
    head: Head | None = None
    seed: int = 0


def build_model(what: Architecture, *, settings: BackboneSettings | None = None, corpus: Corpus | None = None) -> Model:
    """The model, in eval(). `corpus` gives the texts to train a new tokenizer on, when they are asked for.

    From a folder of the same kind, all that it has is kept: see `load_model`.
    Raises InvalidInput for what the kind does not have, and for a new tokenizer without a corpus.
    """
    _check(what)
    maker = _Maker(what, settings or BackboneSettings(), corpus)
    if what.kind in ("bi", "late", "cross") and not isinstance(what.backbone, NewBackbone):
        located = locate(what.backbone)
        other = what.head is not None and (what.head == "maxsim") != matches(located.folder)
        if kind_in(located.folder, located.card) == what.kind and not other:
            model = load_model(what.backbone, LoadSettings(maker.settings, what.max_tokens, dict(what.prompts) or None))
            return maker.changed(model).eval() if what.kind == "bi" else model
    makers: Mapping[Kind, Callable[[], Model]] = {
        "bi": maker.bi,
        "dual": maker.dual,
        "late": maker.late,
        "cross": maker.cross,
        "static": maker.static,
    }
    return makers[what.kind]().eval()


@dataclass(frozen=True)
class _Maker:
    what: Architecture
    settings: BackboneSettings
    corpus: Corpus | None

    def bi(self) -> BiEncoder:
        tower = self._tower(self.what.backbone)
        return BiEncoder(tower, similarity=self.what.similarity or "cosine", prompts=self._prompts())

    def changed(self, model: BiEncoder) -> BiEncoder:
        """A loaded bi-encoder with what the description adds to it."""
        what, tower = self.what, model.tower
        if what.pooling is not None and what.pooling != tower.pool.how:
            tower.pool = Pool(what.pooling, dim=tower.backbone.dim)
        if what.dim and what.dim != tower.dim:
            tower.projections.append(self._projection(tower.dim, what.dim))
        if what.similarity is not None:
            model.similarity = what.similarity
        if not what.pool_prompt:
            model.prompts = replace(model.prompts, pooled=False)
        return model

    def dual(self) -> DualEncoder:
        second = self.what.document_backbone or self.what.backbone
        if isinstance(second, NewBackbone) and second is self.what.backbone:
            second = replace(second, seed=second.seed + 1)
        return DualEncoder(
            self._tower(self.what.backbone),
            self._tower(second),
            similarity=self.what.similarity or "cosine",
            prompts=self._prompts(),
        )

    def late(self) -> LateInteraction:
        backbone = self._backbone(self.what.backbone)
        projection = self._projection(backbone.dim, self.what.dim or LATE_DIM, bias=False)
        projection.keep_angles(self.what.seed)
        return LateInteraction(backbone, projection, settings=self.what.late, prompts=self._prompts())

    def cross(self) -> Model:
        what = self.what
        if what.head == "maxsim" and isinstance(what.backbone, NewBackbone):
            return MatchingCrossEncoder(self._backbone(what.backbone))
        if isinstance(what.backbone, NewBackbone):
            return new_cross(what.backbone, self._tokenizer(what.backbone.max_tokens), settings=self.settings)
        folder = locate(what.backbone).folder
        if what.head == "maxsim":
            return open_matching(folder, settings=self.settings, max_tokens=what.max_tokens)
        return open_cross(folder, settings=self.settings, max_tokens=what.max_tokens, seed=what.seed)

    def static(self) -> Model:
        what = self.what
        if isinstance(what.backbone, NewBackbone):
            model = new_static(self._tokenizer(STATIC_MAX_TOKENS), dim=what.dim or STATIC_DIM, seed=what.seed)
        else:
            source = load_model(what.backbone)
            model = source if source.kind == "static" else distil_static(source, dim=what.dim or STATIC_DIM)
        model.similarity = what.similarity or model.similarity
        model.prompts = self._prompts()
        return model

    def _tower(self, backbone: str | Path | NewBackbone) -> Tower:
        what, made = self.what, self._backbone(backbone)
        projections = [self._projection(made.dim, what.dim)] if what.dim else []
        return Tower(made, Pool(what.pooling or "mean", dim=made.dim), projections)

    def _backbone(self, backbone: str | Path | NewBackbone) -> Backbone:
        if isinstance(backbone, NewBackbone):
            return new_backbone(backbone, self._tokenizer(backbone.max_tokens), settings=self.settings)
        return open_backbone(backbone, settings=self.settings, max_tokens=self.what.max_tokens)

    def _tokenizer(self, most: int) -> ModelTokenizer:
        what = self.what
        limit = what.max_tokens or most
        if what.tokenizer not in ("wordpiece", "bpe"):
            return open_tokenizer(base_folder(locate(what.tokenizer).folder), max_tokens=limit)
        if self.corpus is None:
            raise InvalidInput(
                f"a new {what.tokenizer} tokenizer, and no corpus",
                expected="texts to train it on",
                hint="give the corpus, or the name of a model whose tokenizer to take",
            )
        return train_tokenizer(
            self.corpus,
            kind="bpe" if what.tokenizer == "bpe" else "wordpiece",
            size=what.vocabulary,
            max_tokens=limit,
        )

    def _projection(self, into: int, out: int, *, bias: bool = True) -> Projection:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.what.seed)
            return Projection(into, out, bias=bias)

    def _prompts(self) -> Prompts:
        return Prompts(dict(self.what.prompts), self.what.pool_prompt)


def _check(what: Architecture) -> None:
    odd = {
        "pooling": what.pooling is not None and what.kind not in ("bi", "dual"),
        "dim": bool(what.dim) and what.kind == "cross",
        "prompts": bool(what.prompts) and what.kind == "cross",
        "similarity": what.similarity is not None and what.kind in ("late", "cross"),
        "document_backbone": what.document_backbone is not None and what.kind != "dual",
        "max_tokens": what.max_tokens is not None and what.kind == "static",
        "late": what.late != LateSettings() and what.kind != "late",
        "head": what.head is not None and what.kind != "cross",
        "pool_prompt": not what.pool_prompt and what.kind not in ("bi", "dual"),
    }
    for name, is_odd in odd.items():
        if is_odd:
            raise InvalidInput(
                f"{name} for a model of the kind {what.kind!r}, which has none",
                expected="settings of this kind",
                hint=f"leave out {name}",
            )
