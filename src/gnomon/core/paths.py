r"""Paths as text that databases and JSON take, also where a name is no UTF-8.

Such a byte is written `\xNN`; the backslash of a name that looks like that is written `\x5c`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_BYTE = re.compile("[\udc80-\udcff]")


def path_text(path: str | Path) -> str:
    r"""The path as text, for keys and for people; `path_of` gives the path back.

    >>> path_text(b"caf\xe9.txt".decode("utf-8", "surrogateescape"))
    'caf\\xe9.txt'
    """
    text = os.fspath(path)
    if "\\x" in text:
        text = _ESCAPE.sub(r"\\x5cx\1", text)
    return text if text.isascii() else _BYTE.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def path_of(text: str) -> Path:
    """The path that `path_text` wrote so."""
    return Path(_ESCAPE.sub(_unescaped, text) if "\\x" in text else text)


def _unescaped(escape: re.Match[str]) -> str:
    value = int(escape[1], 16)
    return chr(0xDC00 + value) if value >= 0x80 else "\\" if escape[1] == "5c" else escape[0]
