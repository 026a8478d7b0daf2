"""Files of a model's folder, read and checked: JSON, safetensors headers, the tokenizer's settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from gnomon.core.errors import ModelUnsupported


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; {} where there is no such file. Else raises ModelUnsupported."""
    if not path.is_file():
        return {}
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelUnsupported(
            f"{path} cannot be read as JSON: {error}",
            expected="the model's own file, whole",
            hint="fetch the model again",
        ) from error
    if not isinstance(plain, dict):
        raise ModelUnsupported(
            f"{path} holds a JSON {type(plain).__name__}",
            expected="an object",
            hint="fetch the model again",
        )
    return plain


def inside(folder: Path, relative: str) -> Path:
    """The path within the folder. Raises ModelUnsupported where the name points out of it."""
    pure = PurePosixPath(relative.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in relative:
        raise ModelUnsupported(
            f"{folder} names a part at {relative!r}, outside itself",
            expected="parts within the model's folder",
            hint="do not use this model: its files are not what they should be",
        )
    return folder.joinpath(*pure.parts)


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
            expected="weights in safetensors",
            hint="fetch the model again",
        ) from error
    header.pop("__metadata__", None)
    return header


def safetensors_metadata(path: Path) -> dict[str, str]:
    """What a file's writer said of it; {} for nothing, and for a file that is not whole."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < 100_000_000 else {}
        return {str(key): str(value) for key, value in (header.get("__metadata__") or {}).items()}
    except (OSError, ValueError, AttributeError):
        return {}


def static_dim(weights: Path) -> int:
    """The dimensions of a static model: the columns of its matrix. Raises ModelUnsupported without one."""
    header = safetensors_header(weights) if weights.suffix == ".safetensors" else {}
    for name in STATIC_NAMES:
        if len(header.get(name, {}).get("shape", ())) == 2:
            return int(header[name]["shape"][1])
    raise ModelUnsupported(
        f"{weights} holds {', '.join(sorted(header)[:5]) or 'no tensors'}",
        expected=f"the token vectors of a static model, in a matrix named {' or '.join(STATIC_NAMES)}",
        hint="choose another model: `gnomon models` lists some",
    )


def lowercases(normalizer: Any) -> bool:
    """Whether a normaliser, as tokenizer.json describes it, lowers the case of texts."""
    if not isinstance(normalizer, dict):
        return False
    if normalizer.get("type") == "Sequence":
        return any(lowercases(part) for part in normalizer.get("normalizers", []))
    return normalizer.get("type") == "Lowercase" or bool(normalizer.get("lowercase"))


def special_token(base: Path, kinds: Sequence[str]) -> str | None:
    """The first of these special tokens (such as "mask_token") that the tokenizer has; None without one."""
    files = [read_json(base / name) for name in ("tokenizer_config.json", "special_tokens_map.json")]
    for kind in kinds:
        for names in files:
            token = names.get(kind)
            text = token.get("content") if isinstance(token, dict) else token
            if isinstance(text, str) and text:
                return text
    return None
