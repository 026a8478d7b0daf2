"""Cross-encoders: a transformer with a classification head of one label, as its folder describes it.

The form of sentence-transformers' CrossEncoder, checked against 6.2.0, and transformers' own without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.backbone import check_backbone, find_tokenizer
from gnomon.encode.digest import digest_json
from gnomon.encode.folder import read_json
from gnomon.encode.graph.heads import HEADS
from gnomon.encode.identity import architecture_digest, tokenizer_digest, weights_digest
from gnomon.encode.limits import read_max_tokens
from gnomon.encode.modules import find_weights, read_parts, refuse

ScoreActivation = Literal["identity", "sigmoid"]
_ACTIVATIONS: Mapping[str, ScoreActivation] = {
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.Identity": "identity",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.Sigmoid": "sigmoid",
}


@dataclass(frozen=True)
class CrossLayout:
    """All that a cross-encoder needs of a model's folder.

    `prompt` is put before each query. `max_tokens` counts query, text and special tokens together. With
    `types` False every token is of type 0, else the text's are of type 1.
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

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides a score, by content: no path and no name goes in."""
        return digest_json(
            {
                "weights": weights_digest(self.weights),
                "architecture": architecture_digest("cross", self.config),
                "tokenizer": tokenizer_digest(self.tokenizer),
                "max_tokens": self.max_tokens,
                "activation": self.activation,
                "prompt": self.prompt,
                "types": self.types,
            }
        )


def read_cross(folder: Path, *, name: str) -> CrossLayout:
    """Understand a cross-encoder's folder. Raises ModelNotFound, ModelUnsupported for what cannot be run."""
    parts = read_parts(folder)
    if parts is not None and [part.kind for part in parts] != ["Transformer"]:
        refuse(folder, f"the modules {' -> '.join(part.kind for part in parts)}", "a Transformer alone")
    base = parts[0].at if parts else folder
    config = read_json(base / "config.json")
    check_backbone(base, config, task="sequence-classification")
    family = str(config["model_type"])
    if family not in HEADS:
        raise ModelUnsupported(
            f"{name} is a cross-encoder of the family {family!r}",
            wanted=f"one of {', '.join(sorted(HEADS))}",
            next_step="choose a cross-encoder of one of these families",
        )
    labels = _labels(config)
    if labels != 1:
        raise ModelUnsupported(
            f"{name} gives {labels} scores a pair",
            wanted="one: how relevant the text is",
            next_step="choose a model with num_labels 1; classifiers of several classes do not rank",
        )
    weights = find_weights(base, folder)
    if weights.suffix == ".onnx":
        refuse(base, "only an ONNX file", "model.safetensors")
    settings = read_json(folder / "config_sentence_transformers.json")
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
