"""What answers do not tell: where files lie on the server."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any


def public_name(reference: str) -> str:
    """A model's name or a source as it may be shown: of an absolute path only the last part.

    >>> public_name("/srv/models/mine"), public_name("org/model"), public_name("https://example.org/a")
    ('mine', 'org/model', 'https://example.org/a')
    """
    path = PurePath(reference)
    return path.name if path.is_absolute() else reference


def without_folder(plain: Any, folder: Path, name: str) -> Any:
    """Plain values in whose texts a collection's name stands in the place of its folder."""
    if isinstance(plain, str):
        return plain.replace(str(folder), name)
    if isinstance(plain, dict):
        return {key: without_folder(value, folder, name) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [without_folder(value, folder, name) for value in plain]
    return plain
