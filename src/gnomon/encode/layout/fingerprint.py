"""Digests of what decides a model's vectors, by content: no path and no name takes part."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.digest import cached_digest, digest_file, digest_json
from gnomon.encode.layout.files import inside, read_json
from gnomon.encode.layout.modules import ProjectionLayer, is_onnx_data

# Keys of config.json that no vector depends on: provenance, training, and classification heads.
IGNORED_CONFIG_KEYS = frozenset(
    """_name_or_path name_or_path transformers_version torch_dtype dtype architectures use_cache id2label
    label2id num_labels problem_type finetuning_task gradient_checkpointing initializer_range
    initializer_factor hidden_dropout_prob attention_probs_dropout_prob classifier_dropout
    attention_dropout dropout qa_dropout seq_classif_dropout output_attentions output_hidden_states
    return_dict auto_map tokenizer_name language""".split()
)


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
    """Of a safetensors file, of all its shards, or of an ONNX file and its data files."""
    if weights.suffix == ".json":
        return digest_json([digest_file(shard) for shard in shard_files(weights)])
    files = sorted(weights.parent.iterdir()) if weights.suffix == ".onnx" else []
    beside = [path for path in files if path.is_file() and is_onnx_data(path.name)]
    own = digest_file(weights)
    return digest_json([own, *(digest_file(path) for path in beside)]) if beside else own


def architecture_digest(kind: str, config: Mapping[str, Any]) -> str:
    """Of config.json without IGNORED_CONFIG_KEYS, and the kind of encoder it is for."""
    plain = {key: value for key, value in config.items() if key not in IGNORED_CONFIG_KEYS}
    return digest_json({"kind": kind, "config": plain})


def tokenizer_digest(file: Path) -> str:
    """Of a tokenizer.json without its truncation and padding: gnomon sets both itself."""
    # Cached: reading and writing a large vocabulary again takes up to a second at every start.
    return cached_digest(file, "tokenizer without truncation and padding", _without_limits)


def projection_digest(projections: Sequence[ProjectionLayer]) -> str:
    """Of the linear layers after pooling; "" for none."""
    if not projections:
        return ""
    return digest_json([[digest_file(p.weight), p.in_dim, p.out_dim, p.bias, p.activation] for p in projections])


def _without_limits(file: Path) -> str:
    plain = json.loads(file.read_bytes())
    for key in ("truncation", "padding"):
        plain.pop(key, None)
    return digest_json(plain)
