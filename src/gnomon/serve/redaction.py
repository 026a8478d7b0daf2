"""What answers do not tell: where files lie on the server."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any


def public_name(reference: str) -> str:
    """A model's name or a source as it may be shown: of an absolute path only the last part.

    >>> public_name("/srv/models/mine"), public_name("org/model"), public_name("https://example.org/a")
    ('mine', 'org/model', 'https://example.org/a')
    """
    path = PurePath(reference)
    return path.name if path.is_absolute() else reference


def public_names(plain: Any) -> Any:
    """Plain values, such as settings, with the last part of each absolute path in its place."""
    return _mapped(plain, public_name)


def without_place(plain: Any, place: object, name: str) -> Any:
    """Plain values in whose texts a collection's name stands in the place of its folder or address."""
    return _mapped(plain, lambda text: text.replace(str(place), name))


def _mapped(plain: Any, change: Any) -> Any:
    if isinstance(plain, str):
        return change(plain)
    if isinstance(plain, dict):
        return {key: _mapped(value, change) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_mapped(value, change) for value in plain]
    return plain
