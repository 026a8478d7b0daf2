"""Folders of cross-encoders: a transformer with a classification head of one label, a MaxSim score, or the logits of
two tokens.

As sentence-transformers' CrossEncoder saves them (checked against 6.2.0), or transformers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeGuard

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.digest import digest_json
from gnomon.encode.layout.backbone import (
    TransformerTask,
    check_backbone,
    find_tokenizer,
    read_max_tokens,
    sentence_config,
)
from gnomon.encode.layout.chat_template import read_chat_template
from gnomon.encode.layout.families.spec import ACTIVATIONS, Activation, require
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.fingerprint import architecture_digest, tokenizer_digest, weights_digest
from gnomon.encode.layout.logit_score import LogitScore, guess_logit_score, read_logit_score
from gnomon.encode.layout.modules import ModuleEntry, find_weights, is_causal, list_modules, refuse
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

    `prompt` is put before each query; with `logits` it is the instruction of the pair's template. `max_tokens` counts
    query, text and special tokens together. With `token_types` False every token is of type 0, else the text's are of
    type 1. Without `matching` and `logits` there is a classification head.
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
    logits: LogitScore | None = None

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
        if self.logits is not None:
            ingredients["logits"] = self.logits.digest
        return digest_json(ingredients)


_TASKS: Mapping[str, TransformerTask] = {
    "": "sequence-classification",
    "MaxSimScore": "feature-extraction",
    "LogitScore": "text-generation",
}
"""What a transformer gives to the module that scores."""


def read_cross_encoder(folder: Path, *, name: str, instruction: str = "") -> CrossEncoderLayout:
    """Read a cross-encoder's folder; `instruction` replaces the one that it has, "" keeps that.

    Raises ModelNotFound, ModelUnsupported for what cannot be run, InvalidInput for an instruction that nothing reads.
    """
    entries = list_modules(folder)
    base, head = _scoring(folder, entries)
    config = read_json(base / "config.json")
    check_backbone(base, config, task=_TASKS[head])
    if not head:
        _check_head(name, config)
    weights = find_weights(base, folder)
    if weights.suffix == ".onnx":
        refuse(base, "only an ONNX file", "model.safetensors")
    tokenizer = find_tokenizer(base, folder)
    if entries is None and not head and read_chat_template(tokenizer) is not None:
        refuse(base, "a chat template for its pairs", "a cross-encoder that reads a query and a text as they are")
    logits = _read_logits(base, config, tokenizer, entries=entries) if head == "LogitScore" else None
    if instruction and logits is None:
        raise InvalidInput(
            f"an instruction for {name}, which reads a query and a text as they are",
            expected="no instruction",
            hint="leave it out, or choose a reranker of instructions, such as Qwen3-Reranker-0.6B",
        )
    family, settings = str(config["model_type"]), read_json(folder / "config_sentence_transformers.json")
    own = _prompt(settings) or (logits.default_instruction if logits else "")
    return CrossEncoderLayout(
        name=name,
        config=config,
        family=family,
        weights=weights,
        tokenizer=tokenizer,
        max_tokens=read_max_tokens(base, family, config, card=None),
        activation=_activation(folder, settings, config),
        prompt=instruction or own,
        token_types=logits is None and _has_token_types(tokenizer, config),
        matching=_read_matching(entries[1].folder) if entries and head == "MaxSimScore" else None,
        logits=logits,
    )


def _scoring(folder: Path, entries: list[ModuleEntry] | None) -> tuple[Path, str]:
    """The transformer's folder, and the module that scores; "" where the transformer itself does."""
    if entries is None:
        return folder, "LogitScore" if is_causal(folder) else ""
    names = [entry.kind for entry in entries]
    if names[:1] != ["Transformer"] or len(names) > 2 or (names[1:] and names[1] not in _TASKS):
        refuse(folder, f"the modules {' -> '.join(names)}", "a Transformer, alone or with a MaxSimScore or LogitScore")
    return entries[0].folder, "".join(names[1:])


def _read_logits(
    base: Path, config: Mapping[str, Any], tokenizer: Path, *, entries: list[ModuleEntry] | None
) -> LogitScore:
    if entries is None:
        return guess_logit_score(base, config, tokenizer)
    message = (sentence_config(base).get("modality_config") or {}).get("message") or {}
    return read_logit_score(entries[1].folder, config, tokenizer, message_format=str(message.get("format") or ""))


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
