"""One named corpus: catalog, ingest, search. The room that wires the others."""

from gnomon.collection.collection import Collection
from gnomon.collection.opening import open_collection
from gnomon.collection.reports import IndexReport, Problem, Progress, Status
from gnomon.collection.settings import CollectionSettings, IndexOptions, RetrievalSettings

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
