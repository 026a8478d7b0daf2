"""gnomon: the embedding model's whole life in one package.

>>> import gnomon
>>> kb = gnomon.open("kb")                                   # doctest: +SKIP
>>> kb.index(["docs"]); kb.add(["A gnomon casts a shadow."]) # doctest: +SKIP
>>> kb.search("sundial")                                     # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.collection import Collection, CollectionSettings, IndexOptions, RetrievalSettings
    from gnomon.collection import open_collection as open  # noqa: A004 - gnomon.open is the library's door
    from gnomon.core.documents import Chunk, Document
    from gnomon.core.errors import GnomonError, SpaceMismatch
    from gnomon.core.ranking import Hit, Query, Ranking
    from gnomon.core.space import Space
    from gnomon.core.vectors import Vectors
    from gnomon.encode import EncoderSettings, load_encoder

__version__ = "0.1.0"

_PLACES = {
    "Chunk": ("gnomon.core.documents", "Chunk"),
    "Collection": ("gnomon.collection", "Collection"),
    "CollectionSettings": ("gnomon.collection", "CollectionSettings"),
    "Document": ("gnomon.core.documents", "Document"),
    "EncoderSettings": ("gnomon.encode", "EncoderSettings"),
    "GnomonError": ("gnomon.core.errors", "GnomonError"),
    "Hit": ("gnomon.core.ranking", "Hit"),
    "IndexOptions": ("gnomon.collection", "IndexOptions"),
    "Query": ("gnomon.core.ranking", "Query"),
    "Ranking": ("gnomon.core.ranking", "Ranking"),
    "RetrievalSettings": ("gnomon.collection", "RetrievalSettings"),
    "Space": ("gnomon.core.space", "Space"),
    "SpaceMismatch": ("gnomon.core.errors", "SpaceMismatch"),
    "Vectors": ("gnomon.core.vectors", "Vectors"),
    "load_encoder": ("gnomon.encode", "load_encoder"),
    "open": ("gnomon.collection", "open_collection"),
}

_ROOMS = ("answer", "evaluate", "evolve")
"""Rooms that are reached as attributes: gnomon.evaluate.compare(…) works after `import gnomon`."""

__all__ = [
    "Chunk",
    "Collection",
    "CollectionSettings",
    "Document",
    "EncoderSettings",
    "GnomonError",
    "Hit",
    "IndexOptions",
    "Query",
    "Ranking",
    "RetrievalSettings",
    "Space",
    "SpaceMismatch",
    "Vectors",
    "load_encoder",
    "open",
]


def __getattr__(name: str) -> Any:
    """Public names are loaded when first used: `import gnomon` alone costs next to nothing."""
    if name in _ROOMS:
        return import_module(f"gnomon.{name}")
    if name not in _PLACES:
        raise AttributeError(f"module 'gnomon' has no attribute {name!r}")
    module, inside = _PLACES[name]
    return getattr(import_module(module), inside)
