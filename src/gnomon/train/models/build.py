"""A model to train: built from a description, or loaded from a folder to be trained further."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Similarity
from gnomon.encode.cards import Card
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.backbone import STATIC_MAX_TOKENS
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.late_interaction import read_late_interaction
from gnomon.encode.layout.model import ModelLayout, read_layout, read_towers
from gnomon.encode.layout.modules import architecture_of
from gnomon.encode.layout.sparse import read_sparse
from gnomon.train.attention_pooling import AttentionPooling
from gnomon.train.contracts import Kind, Model
from gnomon.train.models.backbone import (
    MASKED_LANGUAGE,
    BackboneSettings,
    NewBackbone,
    TrainableBackbone,
    base_folder,
    new_backbone,
    new_network,
    open_backbone,
    open_masked_language,
)
from gnomon.train.models.cross_encoder import (
    TrainableMaxSimCrossEncoder,
    has_maxsim_score,
    new_cross,
    open_cross,
    open_maxsim_cross,
)
from gnomon.train.models.late_interaction import LateSettings, TrainableLateInteraction, open_late
from gnomon.train.models.layers import PoolingName, TrainablePooling, TrainableProjection, open_projection
from gnomon.train.models.sparse import TrainableSparseEncoder, open_sparse
from gnomon.train.models.static import TrainableStaticEncoder, distil_static, new_static, open_static
from gnomon.train.models.tokenizer import ModelTokenizer, open_tokenizer, train_tokenizer
from gnomon.train.models.towers import ModelPrompts, Tower, TrainableBiEncoder, TrainableDualEncoder

Corpus = Callable[[], Iterable[str]]
Head = Literal["classifier", "maxsim"]
LATE_DIM, STATIC_DIM = 128, 256


@dataclass(frozen=True)
class Architecture:
    """A model's description. None, 0 and no prompts: as the backbone's folder says.

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
    """Build a model, in eval(). `corpus` is called for the texts to train a new tokenizer on.

    From a folder of the same kind, all that it has is kept: see `load_model`.
    Raises InvalidInput for what the kind does not have, and for a new tokenizer without a corpus.
    """
    _check(what)
    maker = _Maker(what, settings or BackboneSettings(), corpus)
    if what.kind in ("bi", "late", "cross", "sparse") and not isinstance(what.backbone, NewBackbone):
        located = locate(what.backbone)
        other = what.head is not None and (what.head == "maxsim") != has_maxsim_score(located.folder)
        if kind_in(located.folder, located.card) == what.kind and not other:
            model = load_model(what.backbone, LoadSettings(maker.settings, what.max_tokens, dict(what.prompts) or None))
            return maker.changed(model).eval() if what.kind == "bi" else model
    makers: Mapping[Kind, Callable[[], Model]] = {
        "bi": maker.bi,
        "dual": maker.dual,
        "late": maker.late,
        "cross": maker.cross,
        "static": maker.static,
        "sparse": maker.sparse,
    }
    return makers[what.kind]().eval()


@dataclass(frozen=True)
class _Maker:
    what: Architecture
    settings: BackboneSettings
    corpus: Corpus | None

    def bi(self) -> TrainableBiEncoder:
        tower = self._tower(self.what.backbone)
        return TrainableBiEncoder(tower, similarity=self.what.similarity or "cosine", prompts=self._prompts())

    def changed(self, model: TrainableBiEncoder) -> TrainableBiEncoder:
        """A loaded bi-encoder with the description's changes."""
        what, tower = self.what, model.tower
        if what.pooling is not None and what.pooling != tower.pool.how:
            tower.pool = TrainablePooling(what.pooling, dim=tower.backbone.dim)
        if what.dim and what.dim != tower.dim:
            tower.projections.append(self._projection(tower.dim, what.dim))
        if what.similarity is not None:
            model.similarity = what.similarity
        if not what.pool_prompt:
            model.prompts = replace(model.prompts, pooled=False)
        return model

    def dual(self) -> TrainableDualEncoder:
        second = self.what.document_backbone or self.what.backbone
        if isinstance(second, NewBackbone) and second is self.what.backbone:
            second = replace(second, seed=second.seed + 1)
        return TrainableDualEncoder(
            self._tower(self.what.backbone),
            self._tower(second),
            similarity=self.what.similarity or "cosine",
            prompts=self._prompts(),
        )

    def late(self) -> TrainableLateInteraction:
        backbone = self._backbone(self.what.backbone)
        projection = self._projection(backbone.dim, self.what.dim or LATE_DIM, bias=False)
        projection.keep_angles(self.what.seed)
        return TrainableLateInteraction(backbone, projection, settings=self.what.late, prompts=self._prompts())

    def cross(self) -> Model:
        what = self.what
        if what.head == "maxsim" and isinstance(what.backbone, NewBackbone):
            return TrainableMaxSimCrossEncoder(self._backbone(what.backbone))
        if isinstance(what.backbone, NewBackbone):
            return new_cross(what.backbone, self._tokenizer(what.backbone.max_tokens), settings=self.settings)
        folder = locate(what.backbone).folder
        if what.head == "maxsim":
            return open_maxsim_cross(folder, settings=self.settings, max_tokens=what.max_tokens)
        return open_cross(folder, settings=self.settings, max_tokens=what.max_tokens, seed=what.seed)

    def sparse(self) -> TrainableSparseEncoder:
        what = self.what
        if isinstance(what.backbone, NewBackbone):
            tokenizer = self._tokenizer(what.backbone.max_tokens)
            made = TrainableBackbone(*new_network(what.backbone, tokenizer, self.settings, head=MASKED_LANGUAGE))
        else:
            made = open_masked_language(what.backbone, settings=self.settings, max_tokens=what.max_tokens)
        return TrainableSparseEncoder(made, prompts=self._prompts())

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
        return Tower(made, TrainablePooling(what.pooling or "mean", dim=made.dim), projections)

    def _backbone(self, backbone: str | Path | NewBackbone) -> TrainableBackbone:
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

    def _projection(self, into: int, out: int, *, bias: bool = True) -> TrainableProjection:
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.what.seed)
            return TrainableProjection(into, out, bias=bias)

    def _prompts(self) -> ModelPrompts:
        return ModelPrompts(dict(self.what.prompts), self.what.pool_prompt)


def _check(what: Architecture) -> None:
    odd = {
        "pooling": what.pooling is not None and what.kind not in ("bi", "dual"),
        "dim": bool(what.dim) and what.kind in ("cross", "sparse"),
        "prompts": bool(what.prompts) and what.kind == "cross",
        "similarity": what.similarity is not None and what.kind in ("late", "cross", "sparse"),
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


@dataclass(frozen=True)
class LoadSettings:
    """What overrides a folder's own settings; None, or no prompts: as the folder says.

    `prompts` are by role ("query"), or by source and role ("nq/query").
    """

    network: BackboneSettings = field(default_factory=BackboneSettings)
    max_tokens: int | None = None
    prompts: Mapping[str, str] | None = None


def load_model(name: str | Path, settings: LoadSettings | None = None) -> Model:
    """The model of a folder, a hub id or a short name, of the kind that its folder says; in eval().

    Its own pooling, projections, prompts and length are kept. Raises ModelNotFound, ModelUnsupported,
    MissingPrompt.
    """
    located, settings = locate(name), settings or LoadSettings()
    folder, shape = located.folder, architecture_of(located.folder, carded=located.carded)
    if shape == "cross":
        opened = open_maxsim_cross if has_maxsim_score(folder) else open_cross
        model: Model = opened(folder, settings=settings.network, max_tokens=settings.max_tokens)
    elif shape == "dual":
        model = _dual(folder, settings)
    elif shape == "late":
        model = _late(folder, settings)
    elif shape == "sparse":
        model = _sparse(folder, settings)
    else:
        model = _single(folder, located.card, settings)
    return model.eval()


def map_vectors(model: Model, weight: Tensor, bias: Tensor) -> None:
    """Let a bi-encoder or a static one make weight @ v + bias of its vectors v; weight is [dimensions, own].

    A linear layer at the model's end takes the map in, and so does a table; else the model has a layer more.
    """
    if isinstance(model, TrainableStaticEncoder):
        model.map_rows(weight, bias)
        return
    projections = model.tower.projections
    last = projections[-1] if len(projections) else None
    if last is None or last.activation != "identity" or last.linear.bias is None:
        last = TrainableProjection(weight.shape[1], weight.shape[0])
        projections.append(last)
        last.linear.weight.data, last.linear.bias.data = weight, bias
        return
    own, offset = last.linear.weight.data, last.linear.bias.data
    composed = TrainableProjection(own.shape[1], weight.shape[0])
    composed.linear.weight.data, composed.linear.bias.data = weight @ own, weight @ offset + bias
    projections[-1] = composed


def kind_in(folder: Path, card: Card | None = None) -> Kind | None:
    """What a folder holds; None for a bare network, which does not say how to pool."""
    shape = architecture_of(folder, carded=card is not None and card.one_vector)
    if shape != "single":
        return shape
    if card is None and not (folder / "modules.json").is_file():
        return "static" if read_json(folder / "config.json").get("model_type") == "model2vec" else None
    return "static" if read_layout(folder, name=folder.name, card=card, prompts=_NONE).kind == "static" else "bi"


def _single(folder: Path, card: Card | None, settings: LoadSettings) -> Model:
    layout = read_layout(folder, name=folder.name, card=card, prompts=_role_prompts(folder, settings))
    prompts = _prompts(folder, layout.prompts, settings, pooled=layout.include_prompt)
    if layout.kind == "static":
        return open_static(layout, prompts)
    return TrainableBiEncoder(_tower(layout, settings), similarity=layout.similarity, prompts=prompts)


def _dual(folder: Path, settings: LoadSettings) -> TrainableDualEncoder:
    towers = read_towers(folder, name=folder.name, prompts=_role_prompts(folder, settings))
    query, document = towers["query"], towers["document"]
    if query.include_prompt != document.include_prompt:
        raise ModelUnsupported(
            f"{folder}, of whose towers one pools its prompt and the other does not",
            expected="towers that treat their prompts alike",
            hint="choose another model to start from",
        )
    roles = {"query": query.prompts["query"], "document": document.prompts["document"]}
    prompts = _prompts(folder, roles, settings, pooled=query.include_prompt)
    return TrainableDualEncoder(
        _tower(query, settings), _tower(document, settings), similarity=query.similarity, prompts=prompts
    )


def _late(folder: Path, settings: LoadSettings) -> TrainableLateInteraction:
    layout = read_late_interaction(folder, name=folder.name, prompts=_role_prompts(folder, settings))
    backbone = open_backbone(
        layout.weights.parent,
        settings=settings.network,
        max_tokens=settings.max_tokens or layout.limits["document"],
    )
    return open_late(layout, backbone, _prompts(folder, layout.prompts, settings))


def _sparse(folder: Path, settings: LoadSettings) -> TrainableSparseEncoder:
    layout = read_sparse(folder, name=folder.name, prompts=_role_prompts(folder, settings))
    tower = layout.towers["document"]
    limit = settings.max_tokens or tower.max_tokens
    backbone = open_masked_language(tower.weights.parent, settings=settings.network, max_tokens=limit)
    return open_sparse(layout, backbone, _prompts(folder, layout.prompts, settings))


def _tower(layout: ModelLayout, settings: LoadSettings) -> Tower:
    backbone = open_backbone(
        layout.weights.parent, settings=settings.network, max_tokens=settings.max_tokens or layout.max_tokens
    )
    if layout.also_pooled or layout.pooling == "mean_sqrt_len" or layout.end_token is not None or layout.filler:
        raise ModelUnsupported(
            f"the pooling of {layout.name}, which is served and not trained",
            expected=f"one of {', '.join(get_args(PoolingName))}",
            hint="choose another model to start from",
        )
    pool = TrainablePooling(layout.pooling, dim=backbone.dim)
    if layout.attention is not None:
        pool.attention = AttentionPooling.load(str(layout.attention.parent))
    return Tower(backbone, pool, [open_projection(saved) for saved in layout.projections])


_NONE = {"query": "", "document": ""}


def _role_prompts(folder: Path, settings: LoadSettings) -> Mapping[str, str] | None:
    """The caller's prompts for roles. A folder that has prompts for sources only needs none."""
    given = {key: text for key, text in (settings.prompts or {}).items() if "/" not in key}
    stored = {key for key, text in _stored_prompts(folder).items() if text}
    return given or (_NONE if stored and all("/" in key for key in stored) else None)


def _prompts(folder: Path, roles: Mapping[str, str], settings: LoadSettings, *, pooled: bool = True) -> ModelPrompts:
    every = {**_stored_prompts(folder), **(settings.prompts or {})}
    sources = {key: text for key, text in every.items() if "/" in key}
    return ModelPrompts({**{role: text for role, text in roles.items() if text}, **sources}, pooled)


def _stored_prompts(folder: Path) -> dict[str, str]:
    return dict(read_json(folder / "config_sentence_transformers.json").get("prompts") or {})
