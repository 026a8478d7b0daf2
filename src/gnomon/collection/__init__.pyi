from .collection import Collection
from .opening import open_collection
from .reports import IndexReport, Problem, Progress, Status
from .settings import CollectionSettings, IndexOptions, RetrievalSettings

__all__ = [
    "Collection",
    "CollectionSettings",
    "IndexOptions",
    "IndexReport",
    "Problem",
    "Progress",
    "RetrievalSettings",
    "Status",
    "open_collection",
]
