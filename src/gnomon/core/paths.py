r"""Paths as text that databases and JSON take, also where a name is no UTF-8.

Such a byte is written `\xNN`; the backslash of a name that looks like that is written `\x5c`.

A file behind a URL has a path too, so that one kind of value serves all files: `s3://bucket/name` is
`Path("s3:/bucket/name")`. Paths of this machine are absolute where they are kept, so the two never meet.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_BYTE = re.compile("[\udc80-\udcff]")
_REMOTE = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])")
_NOT_REMOTE = frozenset({"file", "postgresql", "postgres"})


def path_text(path: str | Path) -> str:
    r"""The path as text, for keys and for people; `path_of` gives the path back.

    >>> path_text(b"caf\xe9.txt".decode("utf-8", "surrogateescape"))
    'caf\\xe9.txt'
    """
    text = os.fspath(path)
    if ":/" in text and (found := _REMOTE.match(text)):
        text = f"{found[1]}://{text[found.end() :]}"
    if "\\x" in text:
        text = _ESCAPE.sub(r"\\x5cx\1", text)
    return text if text.isascii() else _BYTE.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", text)


def path_of(text: str) -> Path:
    """The path that `path_text` wrote so."""
    return Path(_ESCAPE.sub(_unescaped, text) if "\\x" in text else text)


def _unescaped(escape: re.Match[str]) -> str:
    value = int(escape[1], 16)
    return chr(0xDC00 + value) if value >= 0x80 else "\\" if escape[1] == "5c" else escape[0]


def remote_scheme(path: str | Path) -> str | None:
    """The scheme of a path behind a URL, such as s3; None for a path of this machine.

    >>> remote_scheme("s3://bucket/docs"), remote_scheme("docs/s3")
    ('s3', None)
    """
    found = _REMOTE.match(os.fspath(path))
    return found[1] if found and found[1] not in _NOT_REMOTE else None


def absolute(path: Path) -> Path:
    """The path, absolute; one behind a URL as it is. Without its links a path with ".." in it may be another one."""
    if remote_scheme(path):
        return path
    return path.resolve() if ".." in path.parts else path.absolute()
