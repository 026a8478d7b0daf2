from .batches import Batches, BatchSettings, SourceCursor, StreamState
from .checks import CheckSettings, DataFinding, DataReport, LengthLimits, check_data
from .documents import from_documents, heading_pairs, span_pairs, title_pairs
from .source import DataSource, DataSourceSettings, listed_source, open_source, prompts_by_source, spooled_source

__all__ = [
    "BatchSettings",
    "Batches",
    "CheckSettings",
    "DataFinding",
    "DataReport",
    "DataSource",
    "DataSourceSettings",
    "LengthLimits",
    "SourceCursor",
    "StreamState",
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
