from .batches import Batches, BatchSettings, Cursor, Place
from .checks import CheckSettings, DataReport, Finding, Lengths, check_data
from .documents import from_documents, heading_pairs, span_pairs, title_pairs
from .source import Source, SourceSettings, listed_source, open_source, prompts_by_source, spooled_source

__all__ = [
    "BatchSettings",
    "Batches",
    "CheckSettings",
    "Cursor",
    "DataReport",
    "Finding",
    "Lengths",
    "Place",
    "Source",
    "SourceSettings",
    "check_data",
    "from_documents",
    "heading_pairs",
    "listed_source",
    "open_source",
    "prompts_by_source",
    "span_pairs",
    "spooled_source",
    "title_pairs",
]
