"""Addresses of stores, such as qdrant://host:6333, and how the store at one is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from urllib.parse import unquote, urlsplit

from gnomon.core.errors import InvalidInput
from gnomon.core.plugins import has_plugin, load_plugin, plugin_names
from gnomon.core.stores import Store

_OPENERS = {
    "faiss": "gnomon.stores.faiss:open_faiss",
    "pgvector": "gnomon.stores.pgvector:open_pgvector",
    "postgresql": "gnomon.stores.pgvector:open_pgvector",
    "qdrant": "gnomon.stores.qdrant:open_qdrant",
    "weaviate": "gnomon.stores.weaviate:open_weaviate",
    "milvus": "gnomon.stores.milvus:open_milvus",
    "lancedb": "gnomon.stores.lancedb:open_lancedb",
    "pinecone": "gnomon.stores.pinecone:open_pinecone",
    "vectara": "gnomon.stores.vectara:open_vectara",
}
_EXAMPLES = "for example: qdrant://localhost:6333, lancedb:///data/lance, pgvector"

_SECRET = re.compile(r"[?&][a-z_-]*(?:password|passwd|secret|token|key)=", re.IGNORECASE)


@dataclass(frozen=True)
class StoreAddress:
    """Where a store is: its scheme, and what stands after it. It holds no password and no key: see `parse`.

    A local engine has a `path` and no host (lancedb:///data/lance); a server a host. `text` is the whole address.
    """

    scheme: str
    text: str
    host: str = ""
    port: int | None = None
    path: str = ""
    query: str = ""
    user: str = ""

    @classmethod
    def parse(cls, text: str) -> StoreAddress:
        """The address that a text says; a bare scheme is one without a place.

        Raises InvalidInput for an unknown scheme, and for an address with a password: catalogs keep addresses.
        """
        scheme, _, _ = text.partition(":")
        if scheme not in _OPENERS and not has_plugin("gnomon.vector_stores", scheme):
            raise InvalidInput(
                f"the store {_shown(text)!r}", expected=f"one of {', '.join(store_names())}", hint=_EXAMPLES
            )
        try:
            parts = urlsplit("" if text == scheme else text)
            port = parts.port
        except ValueError as error:
            raise InvalidInput(
                f"the store's address {_shown(text)!r}", expected="SCHEME://HOST:PORT/PATH", hint=_EXAMPLES
            ) from error
        after = f"{parts.path if parts.netloc else ''}{parts.query}{parts.fragment}"
        if parts.password is not None or "@" in after or _SECRET.search(text):
            raise InvalidInput(
                f"a password or key in the store's address {_shown(text)!r}",
                expected="an address without one, as the catalog keeps it",
                hint="set the engine's own environment variable, such as QDRANT_API_KEY or PGPASSWORD",
            )
        path = unquote(parts.path)
        return cls(scheme, text, parts.hostname or "", port, path, parts.query, parts.username or "")


def _shown(text: str) -> str:
    """An address as it may be printed: without its user part, and without the values of its options."""
    scheme, separator, rest = text.partition("://")
    place, question, options = rest.rpartition("@")[2].partition("?")
    names = "&".join(each.partition("=")[0] for each in options.split("&")) if "=" in options else ""
    return f"{scheme}{separator}{place}{question}{names}"


def store_names() -> tuple[str, ...]:
    """The schemes of all stores, those of plug-ins included."""
    return (*_OPENERS, *plugin_names("gnomon.vector_stores"))


def open_store(address: StoreAddress, name: str) -> Store:
    """The store at an address that holds (or is to hold) the engine collection of a name. Makes nothing yet.

    Raises InvalidInput where the engine's extra is not installed, and ServerUnreachable.
    """
    if address.scheme in _OPENERS:
        module, _, function = _OPENERS[address.scheme].partition(":")
        opened: Store = getattr(import_module(module), function)(address, name)
    else:
        opened = load_plugin("gnomon.vector_stores", address.scheme)(address, name)
    return opened
