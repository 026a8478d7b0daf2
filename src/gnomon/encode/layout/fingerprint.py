"""Digests of what decides a model's vectors, by content: no path and no name takes part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.digest import cached_digest, digest_file, digest_json
from gnomon.encode.layout.files import inside, read_json, safetensors_metadata
from gnomon.encode.layout.onnx_data import onnx_data_files
from gnomon.encode.layout.tokenizer_config import TokenizerConfig

# Keys of config.json that no vector depends on: provenance, training, and classification heads.
IGNORED_CONFIG_KEYS = frozenset(
    """_name_or_path name_or_path transformers_version torch_dtype dtype architectures use_cache id2label
    label2id num_labels problem_type finetuning_task gradient_checkpointing initializer_range
    initializer_factor hidden_dropout_prob attention_probs_dropout_prob classifier_dropout
    attention_dropout dropout qa_dropout seq_classif_dropout output_attentions output_hidden_states
    return_dict auto_map tokenizer_name language""".split()
)


MERGED_FROM = "gnomon.merged_from"
"""In a safetensors file's metadata: the digest of the base model and of the adapter that was merged into it."""


def shard_files(index: Path) -> tuple[Path, ...]:
    """The weight files that a model.safetensors.index.json names, each once, sorted.

    Raises ModelUnsupported where it names none, or one that is not there.
    """
    named = read_json(index).get("weight_map")
    found = tuple(inside(index.parent, str(n)) for n in sorted(set(named.values()))) if named else ()
    missing = [path.name for path in found if not path.is_file()]
    if missing or not found:
        raise ModelUnsupported(
            f"{index} names {', '.join(missing) if missing else 'no weight file'}" + (", not there" if missing else ""),
            expected="all shards beside their index",
            hint="fetch the model again",
        )
    return found


def weights_digest(weights: Path) -> str:
    """Of a safetensors file, of all its shards, or of an ONNX file and its data files.

    A file that gnomon merged an adapter into stands for the two that it was made of: sums differ in their last
    digits between machines.
    """
    if weights.suffix == ".safetensors" and (origin := safetensors_metadata(weights).get(MERGED_FROM)):
        return origin
    if weights.suffix == ".json":
        return digest_json([digest_file(shard) for shard in shard_files(weights)])
    beside = onnx_data_files(weights) if weights.suffix == ".onnx" else ()
    own = digest_file(weights)
    return digest_json([own, *(digest_file(path) for path in beside)]) if beside else own


def architecture_digest(kind: str, config: Mapping[str, Any]) -> str:
    """Of config.json without IGNORED_CONFIG_KEYS, and the kind of encoder it is for."""
    plain = {key: value for key, value in config.items() if key not in IGNORED_CONFIG_KEYS}
    return digest_json({"kind": kind, "config": plain})


def tokenizer_digest(file: Path, config: TokenizerConfig | None = None) -> str:
    """Of a tokenizer.json with the options beside it applied, without truncation to a length and padding.

    gnomon sets these two itself. The side on which texts are cut counts, where it is not the usual one.
    """
    if config is None:
        # Cached: reading and writing a large vocabulary again takes up to a second at every start.
        return cached_digest(file, "tokenizer without truncation and padding", _without_limits)
    digest = _applied_digest(file, config)
    beyond: dict[str, Any] = {} if config.truncation_side == "right" else {"truncation": config.truncation_side}
    beyond |= {"split_special_tokens": True} if config.splits_special_tokens else {}
    return digest_json([digest, beyond]) if beyond else digest


def is_changed(file: Path, config: TokenizerConfig) -> bool:
    """Whether the options beside a tokenizer.json change it, the side of truncation apart."""
    return _applied_digest(file, config) != tokenizer_digest(file)


def _applied_digest(file: Path, config: TokenizerConfig) -> str:
    own = digest_json([config.kind, config.options, config.added])
    return cached_digest(file, f"tokenizer by {own}", lambda path: _without_limits(path, config))


def _without_limits(file: Path, config: TokenizerConfig | None = None) -> str:
    plain = json.loads(file.read_bytes())
    for key in ("truncation", "padding"):
        plain.pop(key, None)
    return digest_json(plain if config is None else config.applied(plain))
