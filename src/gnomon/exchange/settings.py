"""What an import is told, and what it says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class ImportSettings:
    """How a collection is imported.

    `model` is the one that made the vectors, by name or folder, where it is not found by itself; `check`: nothing is
    written. For other stores: `embed` the texts anew instead of taking vectors over; `part` is the collection or table
    of several; `text` and `vector` name columns, and `texts` the file with the texts of a FAISS index.
    """

    model: str | None = None
    check: bool = False
    embed: bool = False
    part: str = ""
    text: str = ""
    vector: str = ""
    texts: str | Path | None = None


@dataclass(frozen=True)
class ImportReport:
    """What was imported, or with `check` would be. `kind` is "gnomon", or the other store's.

    `model` makes the collection's vectors, and `is_checked` says whether it was there and makes them still. `vectors`:
    whether they were taken over, or the texts embedded anew. `skipped` rows had no text. `notes` are for people.
    """

    source: str
    kind: str
    into: str
    documents: int
    chunks: int
    space: str
    model: str
    is_checked: bool
    vectors: Literal["taken", "embedded"] = "taken"
    skipped: int = 0
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**asdict(self), "notes": list(self.notes)}
