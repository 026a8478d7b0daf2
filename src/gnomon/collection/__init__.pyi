from .catalog.fields import FieldChange, FieldInfo
from .catalog.versions import NotReady, Version
from .collection import Collection
from .fields import FieldRegistry
from .ingest.backfill import BackfillOptions, BackfillProgress
from .model_comparison import ModelComparison, Trial, TrialSettings, compare_models
from .opening import open_collection
from .query_log import FeedbackEvent, LoggedQuery, QueryLogSettings, QueryLogWriter, logged_queries, logged_searches
from .reports import DocumentPage, IndexReport, Problem, PruneReport, Status, SwitchReport, VersionInfo
from .settings import CollectionSettings, IndexOptions, RetrievalSettings
from .version_manager import VersionManager

__all__ = [
    "BackfillOptions",
    "BackfillProgress",
    "Collection",
    "CollectionSettings",
    "DocumentPage",
    "FeedbackEvent",
    "FieldChange",
    "FieldInfo",
    "FieldRegistry",
    "IndexOptions",
    "IndexReport",
    "LoggedQuery",
    "ModelComparison",
    "NotReady",
    "Problem",
    "PruneReport",
    "QueryLogSettings",
    "QueryLogWriter",
    "RetrievalSettings",
    "Status",
    "SwitchReport",
    "Trial",
    "TrialSettings",
    "Version",
    "VersionInfo",
    "VersionManager",
    "compare_models",
    "logged_queries",
    "logged_searches",
    "open_collection",
]
