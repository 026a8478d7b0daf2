"""Folders of sparse encoders: a weight a token of the vocabulary, most of them zero.

As sentence-transformers' SparseEncoder saves them (checked against 6.2.0): SPLADE (a masked-language head, pooled over
the tokens), static weights of the tokens that are there, such as IDF, and a Router with one of them for queries and
another one for documents. A bare folder of a `…ForMaskedLM` is SPLADE with max pooling, as it is there. BGE-M3's folder
has a linear layer beside the backbone that weighs the tokens that are there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from gnomon.core.contracts import Role
from gnomon.core.errors import ModelUnsupported
from gnomon.core.files import is_file
from gnomon.core.space import Ingredients
from gnomon.encode.digest import digest_file, digest_json
from gnomon.encode.layout.backbone import STATIC_MAX_TOKENS, check_backbone, find_tokenizer, read_max_tokens
from gnomon.encode.layout.families.spec import Activation
from gnomon.encode.layout.files import read_json, safetensors_header
from gnomon.encode.layout.fingerprint import architecture_digest, tokenizer_digest, weights_digest
from gnomon.encode.layout.model import read_routes
from gnomon.encode.layout.modules import ModuleEntry, find_weights, is_routed, list_modules, refuse
from gnomon.encode.layout.prompts import resolve_prompts
from gnomon.encode.layout.tokenizer_config import read_tokenizer_config

SPARSE_HEAD = "sparse_linear"
_EXPECTED = "a Transformer and SpladePooling, or SparseStaticEmbedding; alone, or as routes of a Router"
_POOLINGS, _ACTIVATIONS = ("max", "sum"), ("relu", "log1p_relu")


@dataclass(frozen=True)
class MaskedLanguageHead:
    """A linear layer, an activation (None: the network's), a layer norm, and the vocabulary's vectors with a bias."""

    dense: str
    norm: str
    decoder: str
    bias: str
    activation: Activation | None = None


_LM_HEAD = MaskedLanguageHead("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", "lm_head.bias", "gelu")
MASKED_LANGUAGE_HEADS: Mapping[str, MaskedLanguageHead] = {
    "bert": MaskedLanguageHead(
        "cls.predictions.transform.dense",
        "cls.predictions.transform.LayerNorm",
        "cls.predictions.decoder",
        "cls.predictions.bias",
    ),
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert", "mpnet"), _LM_HEAD),
    "distilbert": MaskedLanguageHead("vocab_transform", "vocab_layer_norm", "vocab_projector", "vocab_projector.bias"),
}


@dataclass(frozen=True)
class SparseTower:
    """What makes the sparse vectors of a role. `dim` is the size of the vocabulary.

    "splade": log(1 + relu(x)) of the masked-language head's logits x, pooled over the tokens (`pooling` max or sum);
    with the activation "log1p_relu" the logarithm is taken twice. "static": each token that is there has its weight.
    "tokens": a linear layer (`head`) weighs each token that is there, and the largest weight of a token counts.
    """

    kind: Literal["splade", "static", "tokens"]
    name: str
    config: Mapping[str, Any]
    family: str
    weights: Path
    tokenizer: Path
    max_tokens: int
    dim: int
    pooling: str = "max"
    activation: str = "relu"
    head: Path | None = None

    def ingredients(self, *, prompts: Mapping[str, str], max_active: int | None) -> Ingredients:
        """What decides this tower's vectors, by content."""
        pooling = f"{self.kind} {self.pooling} {self.activation}"
        return Ingredients(
            weights=digest_file(self.weights) if self.kind == "static" else weights_digest(self.weights),
            architecture=architecture_digest("sparse", self.config),
            tokenizer=tokenizer_digest(self.tokenizer, read_tokenizer_config(self.tokenizer)),
            pooling=pooling if max_active is None else f"{pooling} top {max_active}",
            projection="" if self.head is None else digest_file(self.head),
            prompts=dict(prompts),
            normalise=False,
            max_tokens=self.max_tokens,
            dim=self.dim,
            similarity="dot",
            precision="float",
        )


@dataclass(frozen=True)
class SparseLayout:
    """A tower and a prompt a role. `max_active`: of each vector so many values are kept, the largest (None: all)."""

    name: str
    towers: Mapping[Role, SparseTower]
    prompts: Mapping[str, str]
    max_active: int | None = None

    @property
    def dim(self) -> int:
        """The size of the vocabulary."""
        return self.towers["document"].dim

    def ingredients(self) -> Ingredients:
        """What decides this model's vectors, by content."""
        own = {
            role: tower.ingredients(prompts={role: self.prompts[role]}, max_active=self.max_active)
            for role, tower in self.towers.items()
        }
        query, document = self.towers["query"], self.towers["document"]
        if query == document:
            return replace(own["document"], prompts=dict(self.prompts))
        both = digest_json({role: one.fingerprint() for role, one in own.items()})
        apart = "of each tower"
        return replace(own["document"], weights=both, architecture="sparse dual", tokenizer=apart, pooling=apart)


def read_sparse(folder: Path, *, name: str, prompts: Mapping[str, str] | None = None) -> SparseLayout:
    """Read a sparse encoder's folder. `prompts` by role win over the folder's.

    Raises MissingPrompt, and ModelUnsupported for what cannot run: pickled heads are never loaded.
    """
    settings = read_json(folder / "config_sentence_transformers.json")
    similarity = settings.get("similarity_fn_name")
    if settings.get("model_type") == "SparseEncoder" and similarity not in (None, "dot"):
        refuse(folder, f"the similarity {similarity!r} of sparse vectors", "dot")
    entries = list_modules(folder)
    if entries is not None and is_routed(entries):
        if len(entries) > 1:
            refuse(folder, f"the module {entries[1].kind} behind a Router", _EXPECTED)
        routes = read_routes(entries[0].folder)
        towers: dict[Role, SparseTower] = {role: _tower(folder, own, name=name) for role, own in routes.items()}
    else:
        towers = dict.fromkeys(get_args(Role), _single(folder, entries, name=name))
    sizes = {role: tower.dim for role, tower in towers.items()}
    if len(set(sizes.values())) > 1:
        refuse(folder, f"vocabularies of {sizes['query']} and {sizes['document']} tokens", "one vocabulary")
    return SparseLayout(
        name=name,
        towers=towers,
        prompts=resolve_prompts(name, settings, card=None, overrides=prompts),
        max_active=settings.get("max_active_dims"),
    )


def _single(folder: Path, entries: list[ModuleEntry] | None, *, name: str) -> SparseTower:
    if entries is None:
        architecture = str((read_json(folder / "config.json").get("architectures") or [""])[0])
        if architecture.endswith("ForMaskedLM"):
            return _splade(folder, folder, None, name=name)
    elif [entry.kind for entry in entries][1:2] != ["Pooling"]:
        return _tower(folder, entries, name=name)
    # A model of dense vectors, as BGE-M3 is: its sparse head is a file beside them.
    return _token_weights(folder, entries[0].folder if entries else folder, name=name)


def _tower(folder: Path, entries: list[ModuleEntry], *, name: str) -> SparseTower:
    names = [entry.kind for entry in entries]
    if "SparseAutoEncoder" in names:
        raise ModelUnsupported(
            f"{folder} is a sparse autoencoder over dense vectors: its dimensions are no tokens",
            expected=_EXPECTED,
            hint="take the dense model that it was made of: its vectors hold more than their sparse codes",
        )
    if names == ["SparseStaticEmbedding"]:
        return _static(folder, entries[0].folder, name=name)
    if len(names) != 2 or names[0] not in ("Transformer", "MLMTransformer") or names[1] != "SpladePooling":
        refuse(folder, f"the modules {' -> '.join(names)}", _EXPECTED)
    return _splade(entries[0].folder, folder, entries[1].folder, name=name)


def _splade(base: Path, folder: Path, pooling: Path | None, *, name: str) -> SparseTower:
    config, settings = read_json(base / "config.json"), read_json(pooling / "config.json") if pooling else {}
    check_backbone(base, config, task="fill-mask")
    family = str(config["model_type"])
    if family not in MASKED_LANGUAGE_HEADS:
        raise ModelUnsupported(
            f"{name} is a sparse encoder of the family {family!r}",
            expected=f"one of {', '.join(sorted(MASKED_LANGUAGE_HEADS))}",
            hint="choose a sparse encoder of one of these families",
        )
    how, activation = settings.get("pooling_strategy", "max"), settings.get("activation_function", "relu")
    if how not in _POOLINGS or activation not in _ACTIVATIONS:
        refuse(base, f"SpladePooling {how!r} of {activation!r}", "max or sum, of relu or log1p_relu")
    return SparseTower(
        kind="splade",
        name=name,
        config=config,
        family=family,
        weights=_safetensors(base, folder),
        tokenizer=find_tokenizer(base, folder),
        max_tokens=read_max_tokens(base, family, config, card=None),
        dim=int(config["vocab_size"]),
        pooling=how,
        activation=activation,
    )


def _static(folder: Path, base: Path, *, name: str) -> SparseTower:
    config = read_json(base / "config.json")
    weights = base / (str(config.get("path") or "idf.json") if config.get("path") else "model.safetensors")
    if not is_file(weights):
        raise ModelUnsupported(
            f"{base} has no {weights.name}",
            expected="the weight of each token, in model.safetensors or idf.json",
            hint="fetch the model again",
        )
    tokenizer = find_tokenizer(base, folder)
    declared = read_json(base / "tokenizer_config.json").get("model_max_length")
    limit = int(declared) if isinstance(declared, int | float) and declared < STATIC_MAX_TOKENS else STATIC_MAX_TOKENS
    if weights.suffix == ".json":
        dim = len(read_json(tokenizer).get("model", {}).get("vocab", ()))
    else:
        shape = safetensors_header(weights).get("weight", {}).get("shape") or [0]
        dim = int(shape[0])
    if not dim:
        refuse(base, "no vector of token weights", "a tensor named weight with one value a token")
    return SparseTower("static", name, {}, "static", weights, tokenizer, limit, dim)


def _token_weights(folder: Path, base: Path, *, name: str) -> SparseTower:
    head = folder / f"{SPARSE_HEAD}.safetensors"
    if not is_file(head):
        _refuse_head(folder, name)
    config = read_json(base / "config.json")
    check_backbone(base, config)
    family = str(config["model_type"])
    return SparseTower(
        kind="tokens",
        name=name,
        config=config,
        family=family,
        weights=_safetensors(base, folder),
        tokenizer=find_tokenizer(base, folder),
        max_tokens=read_max_tokens(base, family, config, card=None),
        dim=int(config["vocab_size"]),
        head=head,
    )


def _refuse_head(folder: Path, name: str) -> None:
    pickled = folder / f"{SPARSE_HEAD}.pt"
    if is_file(pickled):
        raise ModelUnsupported(
            f"{name} has its sparse head in {pickled.name}, a pickle, which runs code when it is loaded",
            expected=f"{SPARSE_HEAD}.safetensors beside it",
            hint="convert it once where torch is installed (weights_only reads tensors and runs nothing): "
            f"python -c \"import torch, safetensors.torch as s; p = '{folder / SPARSE_HEAD}'; "
            "s.save_file(torch.load(p + '.pt', weights_only=True), p + '.safetensors')\"",
        )
    raise ModelUnsupported(
        f"{name} is no sparse encoder: it has neither a masked-language head nor {SPARSE_HEAD}.safetensors",
        expected="a SparseEncoder of sentence-transformers, a masked-language model, or BGE-M3 with its sparse head",
        hint=f"for vectors of its own kind: gnomon.load_encoder({str(folder)!r})",
    )


def _safetensors(base: Path, folder: Path) -> Path:
    weights = find_weights(base, folder)
    if weights.suffix == ".onnx":
        refuse(base, "only an ONNX file", "model.safetensors")
    return weights
