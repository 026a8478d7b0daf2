"""Settings given as `--set NAME=VALUE`."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any

from gnomon.core.errors import InvalidInput


def settings_tables(given: Sequence[str], *, such_as: str) -> dict[str, Any]:
    """The values by name, dotted names as nested tables. A value is read as TOML; what is none is a text.

    Raises InvalidInput for a text without "=". `such_as` is an example for the message.

    >>> settings_tables(["context.passages=8", "kind=extractive"], such_as="")
    {'context': {'passages': 8}, 'kind': 'extractive'}
    """
    tables: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput(f"--set {text}", expected=f"NAME=VALUE, such as {such_as}")
        *parents, last = name.strip().split(".")
        table = tables
        for parent in parents:
            inner = table.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise InvalidInput(f"--set {text}: {parent} has a value already", expected="one value for each name")
            table = inner
        table[last] = _value(value)
    return tables


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value={text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()
