"""What the heads of a model's files say, read without loading them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.folder import read_json

# The names under which sentence-transformers and model2vec keep the one matrix of a static model.
STATIC_NAMES = ("embedding.weight", "embeddings")


def safetensors_header(path: Path) -> dict[str, Any]:
    """Each tensor's dtype and shape. Raises ModelUnsupported for a file that is cut off or of another kind.

    The format: 8 bytes little-endian length, then that much JSON, then the data
    (https://github.com/huggingface/safetensors).
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < 100_000_000 else None
        if not isinstance(header, dict):
            raise ValueError("no header")
    except (OSError, ValueError) as error:
        raise ModelUnsupported(
            f"{path} is not a whole safetensors file ({error})",
            wanted="weights in safetensors",
            next_step="fetch the model again",
        ) from error
    header.pop("__metadata__", None)
    return header


def static_dim(weights: Path) -> int:
    """The dimensions of a static model: the columns of its matrix. Raises ModelUnsupported without one."""
    header = safetensors_header(weights) if weights.suffix == ".safetensors" else {}
    for name in STATIC_NAMES:
        if len(header.get(name, {}).get("shape", ())) == 2:
            return int(header[name]["shape"][1])
    raise ModelUnsupported(
        f"{weights} holds {', '.join(sorted(header)[:5]) or 'no tensors'}",
        wanted=f"the token vectors of a static model, in a matrix named {' or '.join(STATIC_NAMES)}",
        next_step="choose another model: `gnomon models` lists some",
    )


def lowercases(tokenizer: Path) -> bool:
    """Whether the tokenizer's own normaliser lowers the case of its texts."""
    return _lowercases(read_json(tokenizer).get("normalizer"))


def _lowercases(normalizer: Any) -> bool:
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Sequence":
        return any(_lowercases(part) for part in normalizer.get("normalizers", []))
    return normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase"))
