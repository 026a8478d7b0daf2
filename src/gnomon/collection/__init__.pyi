from .collection import Collection
from .opening import open_collection
from .reports import IndexReport, Problem, Status
from .settings import CollectionSettings, IndexOptions, RetrievalSettings

__all__ = [
    "Collection",
    "CollectionSettings",
    "IndexOptions",
    "IndexReport",
    "Problem",
    "RetrievalSettings",
    "Status",
    "open_collection",
]
