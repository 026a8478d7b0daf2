"""Servers at an address: what their base address is, and what of their words may be shown."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from gnomon.core.errors import InvalidInput

_TAGS = re.compile(r"<[^<>]{0,200}>")


def base_url(
    url: str, *, serves: str, key_variable: str, endpoint: str = "", default_path: str = "/v1", hint: str = ""
) -> str:
    """A server's base address as requests use it: without a slash at the end, with /v1 where it has no path.

    The address of its `endpoint` itself ("/embeddings") is taken back to its base. `serves` is for messages.
    Raises InvalidInput for what is no address, and for one with a user, a password, a query or a fragment: keys
    belong in the environment.

    >>> base_url("http://localhost:11434", serves="a model", key_variable="KEY")
    'http://localhost:11434/v1'
    """
    try:
        parts = urlsplit(url.strip())
        is_address = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_address = False
    if not is_address or parts.scheme not in ("http", "https"):
        raise InvalidInput(
            f"{url!r} as the address of {serves}", expected="http://HOST:PORT/v1 or https://HOST/v1", hint=hint
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(
            f"an address of {serves} with a user, a query or a fragment",
            expected="http://HOST:PORT/v1 alone",
            hint=f"put the key in {key_variable}",
        )
    path = parts.path.rstrip("/")
    if endpoint:
        path = path.removesuffix(endpoint).rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path or default_path, "", ""))


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def checked_key(key: str | None, *, variable: str) -> str | None:
    """A key without blanks around it, None for an empty one. Raises InvalidInput for what no key can be."""
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise InvalidInput("a key with characters that no key has", expected=f"the key alone in {variable}")
    return key or None


def server_words(text: str, *, key: str | None, longest: int = 300) -> str:
    """A server's words on one line, shortened, without tags, control characters and the key."""
    if key:
        text = text.replace(key, "[key]")
    text = "".join(c if c.isprintable() else " " for c in _TAGS.sub(" ", text))
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def message_of(body: object) -> str:
    """The words in an error's body, whatever its form."""
    for name in ("message", "error", "detail"):
        inner = body.get(name) if isinstance(body, Mapping) else None
        if isinstance(inner, Mapping):
            return message_of(inner)
        if inner:
            return str(inner)
    return body if isinstance(body, str) else ""
