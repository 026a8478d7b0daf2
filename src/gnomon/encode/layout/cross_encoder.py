"""Cross-encoders, as their folders describe them: a classification head of one label, or matched tokens.

The form of sentence-transformers' CrossEncoder, checked against 6.2.0, and transformers' own without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeGuard

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.hub.digest import digest_json
from gnomon.encode.layout.backbone import check_backbone, find_tokenizer, read_max_tokens
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.identity import architecture_digest, tokenizer_digest, weights_digest
from gnomon.encode.layout.modules import find_weights, read_parts, refuse


@dataclass(frozen=True)
class Head:
    """Two linear layers with a non-linearity between them. Only BERT's first one lies inside its encoder."""

    inner: str
    outer: str
    activation: Literal["tanh", "relu"]
    within: bool = False


_ROBERTA = Head("classifier.dense", "classifier.out_proj", "tanh")
HEADS: Mapping[str, Head] = {
    "bert": Head("pooler.dense", "classifier", "tanh", within=True),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "mpnet": _ROBERTA,
    "distilbert": Head("pre_classifier", "classifier", "relu"),
}


ScoreActivation = Literal["identity", "sigmoid"]
_ACTIVATIONS: Mapping[str, ScoreActivation] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.Identity": "identity",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.Sigmoid": "sigmoid",
}


@dataclass(frozen=True)
class Match:
    """A score of matched tokens, as train.maxsim_score has it: the special tokens' ids, and the first
    separator's, which ends the query."""

    frame: tuple[int, ...]
    separator: int


@dataclass(frozen=True)
class CrossLayout:
    """All that a cross-encoder needs of a model's folder.

    `prompt` is put before each query. `max_tokens` counts query, text and special tokens together. With
    `types` False every token is of type 0, else the text's are of type 1. Without a
    `match` there is a classification head.
    """

    name: str
    config: Mapping[str, Any]
    family: str
    weights: Path
    tokenizer: Path
    max_tokens: int
    activation: ScoreActivation
    prompt: str
    types: bool
    match: Match | None = None

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides a score, by content: no path and no name goes in."""
        said: dict[str, Any] = {
            "weights": weights_digest(self.weights),
            "architecture": architecture_digest("cross", self.config),
            "tokenizer": tokenizer_digest(self.tokenizer),
            "max_tokens": self.max_tokens,
            "activation": self.activation,
            "prompt": self.prompt,
            "types": self.types,
        }
        return digest_json(said if self.match is None else {**said, "match": asdict(self.match)})


def read_cross(folder: Path, *, name: str) -> CrossLayout:
    """Understand a cross-encoder's folder. Raises ModelNotFound, ModelUnsupported for what cannot be run."""
    parts = read_parts(folder)
    names = [part.kind for part in parts or ()]
    if parts is not None and names not in (["Transformer"], ["Transformer", "MaxSimScore"]):
        refuse(folder, f"the modules {' -> '.join(names)}", "a Transformer, alone or with a MaxSimScore")
    base = parts[0].at if parts else folder
    config = read_json(base / "config.json")
    match = _match(parts[1].at) if parts and len(parts) > 1 else None
    check_backbone(base, config, task="sequence-classification" if match is None else "feature-extraction")
    if match is None:
        _check_head(name, config)
    weights = find_weights(base, folder)
    if weights.suffix == ".onnx":
        refuse(base, "only an ONNX file", "model.safetensors")
    family, settings = str(config["model_type"]), read_json(folder / "config_sentence_transformers.json")
    return CrossLayout(
        name=name,
        config=config,
        family=family,
        weights=weights,
        tokenizer=find_tokenizer(base, folder),
        max_tokens=read_max_tokens(base, family, config, card=None),
        activation=_activation(folder, settings, config),
        prompt=_prompt(settings),
        types=_has_types(base, config),
        match=match,
    )


def _match(at: Path) -> Match:
    config = read_json(at / "config.json")
    frame, separator = config.get("frame"), config.get("separator")
    if not isinstance(separator, int) or not _are_ids(frame):
        raise ModelUnsupported(
            f"{at} holds no score of matched tokens",
            expected="config.json with frame, a list of ids, and separator, an id",
            hint="save the model again",
        )
    return Match(tuple(frame), separator)


def _are_ids(frame: Any) -> TypeGuard[list[int]]:
    return isinstance(frame, list) and bool(frame) and all(isinstance(one, int) for one in frame)


def _check_head(name: str, config: Mapping[str, Any]) -> None:
    family, labels = str(config["model_type"]), _labels(config)
    if family not in HEADS:
        raise ModelUnsupported(
            f"{name} is a cross-encoder of the family {family!r}",
            expected=f"one of {', '.join(sorted(HEADS))}",
            hint="choose a cross-encoder of one of these families",
        )
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
    said = (
        settings.get("activation_fn")
        or (config.get("sentence_transformers") or {}).get("activation_fn")
        or config.get("sbert_ce_default_activation_function")
        or "torch.nn.modules.activation.Sigmoid"
    )
    if said not in _ACTIVATIONS:
        refuse(folder, f"the activation {said}", "Identity or Sigmoid of torch.nn")
    return _ACTIVATIONS[said]


def _prompt(settings: Mapping[str, Any]) -> str:
    """The default prompt: it goes before the first text of a pair, as sentence-transformers puts it."""
    return str((settings.get("prompts") or {}).get(str(settings.get("default_prompt_name"))) or "")


def _has_types(base: Path, config: Mapping[str, Any]) -> bool:
    inputs = read_json(base / "tokenizer_config.json").get("model_input_names")
    return int(config.get("type_vocab_size", 1)) > 1 and (not inputs or "token_type_ids" in inputs)
