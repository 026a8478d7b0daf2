from .catalog.fields import FieldChange, FieldInfo
from .catalog.versions import NotReady, Version
from .collection import Collection
from .fields import FieldRegistry
from .ingest.backfill import BackfillOptions, BackfillProgress
from .opening import open_collection
from .reports import IndexReport, Problem, PruneReport, Status, SwitchReport, VersionInfo
from .settings import CollectionSettings, IndexOptions, RetrievalSettings
from .version_manager import VersionManager

__all__ = [
    "BackfillOptions",
    "BackfillProgress",
    "Collection",
    "CollectionSettings",
    "FieldChange",
    "FieldInfo",
    "FieldRegistry",
    "IndexOptions",
    "IndexReport",
    "NotReady",
    "Problem",
    "PruneReport",
    "RetrievalSettings",
    "Status",
    "SwitchReport",
    "Version",
    "VersionInfo",
    "VersionManager",
    "open_collection",
]
