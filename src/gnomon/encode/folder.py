"""Files of a model's folder: read as what they are, and never outside of it."""

from __future__ import annotations

import json
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
            wanted="the model's own file, whole",
            next_step="fetch the model again",
        ) from error
    if not isinstance(plain, dict):
        raise ModelUnsupported(
            f"{path} holds a JSON {type(plain).__name__}",
            wanted="an object",
            next_step="fetch the model again",
        )
    return plain


def inside(folder: Path, relative: str) -> Path:
    """The path within the folder. Raises ModelUnsupported where the name points out of it."""
    pure = PurePosixPath(relative.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or ":" in relative:
        raise ModelUnsupported(
            f"{folder} names a part at {relative!r}, outside itself",
            wanted="parts within the model's folder",
            next_step="do not use this model: its files are not what they should be",
        )
    return folder.joinpath(*pure.parts)
