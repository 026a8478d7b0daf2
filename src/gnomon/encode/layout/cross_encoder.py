"""Folders of cross-encoders: a transformer with a classification head of one label, or with a MaxSim score.

As sentence-transformers' CrossEncoder saves them (checked against 6.2.0), or transformers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.digest import digest_json
from gnomon.encode.layout.backbone import check_backbone, find_tokenizer, read_max_tokens
from gnomon.encode.layout.families.spec import ACTIVATIONS, Activation, require
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.fingerprint import architecture_digest, tokenizer_digest, weights_digest
from gnomon.encode.layout.modules import find_weights, list_modules, refuse
from gnomon.encode.layout.tokenizer_config import read_tokenizer_config
from gnomon.kernels.pooling import Pooling


@dataclass(frozen=True)
class ClassificationHead:
    """From a pooled vector to a score: a linear layer with a non-linearity and a norm, and one to a single label.

    `inner` "": only the last one. `in_encoder`: the inner one's tensors are the encoder's. `pooling` "last": the last
    token that is not the padding id, by any place, as transformers takes it.
    """

    inner: str
    outer: str
    activation: Literal["tanh"] | Activation = "tanh"
    in_encoder: bool = False
    pooling: Pooling = "cls"
    norm: str = ""
    norm_bias: bool = True
    inner_bias: bool = True
    outer_bias: bool = True


_ROBERTA = ClassificationHead("classifier.dense", "classifier.out_proj", "tanh")
_BERT = ClassificationHead("pooler.dense", "classifier", "tanh", in_encoder=True)
_DECODER = ClassificationHead("", "score", pooling="last", outer_bias=False)
_HEADS: Mapping[str, ClassificationHead] = {
    "bert": _BERT,
    "gte": _BERT,
    "new": _BERT,
    "albert": ClassificationHead("pooler", "classifier", "tanh", in_encoder=True),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": _ROBERTA,
    "electra": ClassificationHead("classifier.dense", "classifier.out_proj", "gelu"),
    "deberta-v2": ClassificationHead("pooler.dense", "classifier", "gelu"),
    "distilbert": ClassificationHead("pre_classifier", "classifier", "relu"),
    "modernbert": ClassificationHead("head.dense", "classifier", "gelu", norm="head.norm"),
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma3_text"), _DECODER),
}


def classification_head(family: str, config: Mapping[str, Any]) -> ClassificationHead:
    """The head of a family's ForSequenceClassification. Raises ModelUnsupported for one that is not known."""
    if family not in _HEADS:
        raise ModelUnsupported(
            f"a cross-encoder of the family {family!r}",
            expected=f"one of {', '.join(sorted(_HEADS))}",
            hint="choose a cross-encoder of one of these families",
        )
    head = _HEADS[family]
    if family == "deberta-v2":
        require(config, "pooler_hidden_act", ("gelu",), default="gelu")
    if family != "modernbert":
        return head
    require(config, "classifier_activation", tuple(ACTIVATIONS), default="gelu")
    require(config, "classifier_pooling", ("cls", "mean"), default="cls")
    return replace(
        head,
        activation=ACTIVATIONS[config.get("classifier_activation", "gelu")],
        pooling=config.get("classifier_pooling", "cls"),
        norm_bias=bool(config.get("norm_bias", False)),
        inner_bias=bool(config.get("classifier_bias", False)),
    )


ScoreActivation = Literal["identity", "sigmoid"]
_ACTIVATIONS: Mapping[str, ScoreActivation] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.Identity": "identity",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.Sigmoid": "sigmoid",
}


@dataclass(frozen=True)
class TokenMatching:
    """A MaxSim score between a pair's tokens, as `gnomon.train.maxsim_score` defines it.

    Tokens of `special_ids` do not count; the first token of `separator_id` ends the query.
    """

    special_ids: tuple[int, ...]
    separator_id: int


@dataclass(frozen=True)
class CrossEncoderLayout:
    """All that a cross-encoder needs of a model's folder.

    `prompt` is put before each query. `max_tokens` counts query, text and special tokens together. With
    `token_types` False every token is of type 0, else the text's are of type 1. Without `matching` there is a
    classification head.
    """

    name: str
    config: Mapping[str, Any]
    family: str
    weights: Path
    tokenizer: Path
    max_tokens: int
    activation: ScoreActivation
    prompt: str
    token_types: bool
    matching: TokenMatching | None = None

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides a score, by content: no path and no name goes in."""
        ingredients: dict[str, Any] = {
            "weights": weights_digest(self.weights),
            "architecture": architecture_digest("cross", self.config),
            "tokenizer": tokenizer_digest(self.tokenizer, read_tokenizer_config(self.tokenizer)),
            "max_tokens": self.max_tokens,
            "activation": self.activation,
            "prompt": self.prompt,
            "types": self.token_types,
        }
        if self.matching is not None:
            matching = {"frame": self.matching.special_ids, "separator": self.matching.separator_id}
            ingredients["match"] = matching
        return digest_json(ingredients)


def read_cross_encoder(folder: Path, *, name: str) -> CrossEncoderLayout:
    """Read a cross-encoder's folder. Raises ModelNotFound, ModelUnsupported for what cannot be run."""
    entries = list_modules(folder)
    names = [entry.kind for entry in entries or ()]
    if entries is not None and names not in (["Transformer"], ["Transformer", "MaxSimScore"]):
        refuse(folder, f"the modules {' -> '.join(names)}", "a Transformer, alone or with a MaxSimScore")
    base = entries[0].folder if entries else folder
    config = read_json(base / "config.json")
    matching = _read_matching(entries[1].folder) if entries and len(entries) > 1 else None
    check_backbone(base, config, task="sequence-classification" if matching is None else "feature-extraction")
    if matching is None:
        _check_head(name, config)
    weights = find_weights(base, folder)
    if weights.suffix == ".onnx":
        refuse(base, "only an ONNX file", "model.safetensors")
    tokenizer = find_tokenizer(base, folder)
    if entries is None and _has_chat_template(tokenizer):
        refuse(base, "a chat template for its pairs", "a cross-encoder that reads a query and a text as they are")
    family, settings = str(config["model_type"]), read_json(folder / "config_sentence_transformers.json")
    return CrossEncoderLayout(
        name=name,
        config=config,
        family=family,
        weights=weights,
        tokenizer=tokenizer,
        max_tokens=read_max_tokens(base, family, config, card=None),
        activation=_activation(folder, settings, config),
        prompt=_prompt(settings),
        token_types=_has_token_types(tokenizer, config),
        matching=matching,
    )


def _has_chat_template(tokenizer: Path) -> bool:
    """Whether sentence-transformers would read pairs as messages, where no sentence_bert_config.json says otherwise."""
    beside = read_json(tokenizer.parent / "tokenizer_config.json")
    return bool(beside.get("chat_template")) or (tokenizer.parent / "chat_template.jinja").is_file()


def _read_matching(folder: Path) -> TokenMatching:
    config = read_json(folder / "config.json")
    frame, separator = config.get("frame"), config.get("separator")
    if not isinstance(separator, int) or not _are_ids(frame):
        raise ModelUnsupported(
            f"{folder} holds no score of matched tokens",
            expected="config.json with frame, a list of ids, and separator, an id",
            hint="save the model again",
        )
    return TokenMatching(tuple(frame), separator)


def _are_ids(frame: Any) -> TypeGuard[list[int]]:
    return isinstance(frame, list) and bool(frame) and all(isinstance(one, int) for one in frame)


def _check_head(name: str, config: Mapping[str, Any]) -> None:
    family, labels = str(config["model_type"]), _labels(config)
    classification_head(family, config)
    if labels != 1:
        raise ModelUnsupported(
            f"{name} gives {labels} scores a pair",
            expected="one: how relevant the text is",
            hint="choose a model with num_labels 1; classifiers of several classes do not rank",
        )


def _labels(config: Mapping[str, Any]) -> int:
    # transformers writes id2label and not num_labels; without either it takes two labels.
    named = config.get("id2label")
    return len(named) if named else int(config.get("num_labels", 2))


def _activation(folder: Path, settings: Mapping[str, Any], config: Mapping[str, Any]) -> ScoreActivation:
    """What CrossEncoder.predict applies: the newest place that names one; a sigmoid where none does."""
    name = (
        settings.get("activation_fn")
        or (config.get("sentence_transformers") or {}).get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
        or "torch.nn.modules.activation.Sigmoid"
    )
    if name not in _ACTIVATIONS:
        refuse(folder, f"the activation {name}", "Identity or Sigmoid of torch.nn")
    return _ACTIVATIONS[name]


def _prompt(settings: Mapping[str, Any]) -> str:
    """The default prompt: it goes before the first text of a pair, as sentence-transformers puts it."""
    return str((settings.get("prompts") or {}).get(str(settings.get("default_prompt_name"))) or "")


def _has_token_types(tokenizer: Path, config: Mapping[str, Any]) -> bool:
    reads = read_tokenizer_config(tokenizer).reads_token_types(str(config["model_type"]))
    return reads and int(config.get("type_vocab_size", 1)) > 1
