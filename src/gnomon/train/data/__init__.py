"""What training reads: sources of examples, checks of them, and the stream of batches. No torch here."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gnomon.train.data.batches import Batches, BatchSettings, Cursor, Place
    from gnomon.train.data.checks import check_data
    from gnomon.train.data.documents import from_documents, heading_pairs, span_pairs, title_pairs
    from gnomon.train.data.findings import CheckSettings, DataReport, Finding, Lengths
    from gnomon.train.data.source import (
        Source,
        SourceSettings,
        listed_source,
        open_source,
        prompts_by_source,
        spooled_source,
    )

_HOME = {
    "BatchSettings": "batches",
    "Batches": "batches",
    "CheckSettings": "findings",
    "Cursor": "batches",
    "DataReport": "findings",
    "Finding": "findings",
    "Lengths": "findings",
    "Place": "batches",
    "Source": "source",
    "SourceSettings": "source",
    "check_data": "checks",
    "from_documents": "documents",
    "heading_pairs": "documents",
    "listed_source": "source",
    "open_source": "source",
    "prompts_by_source": "source",
    "span_pairs": "documents",
    "spooled_source": "source",
    "title_pairs": "documents",
}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"gnomon.train.data.{_HOME[name]}"), name)
