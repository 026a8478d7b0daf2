"""gnomon as `gnomon.open` sets it up: chunks, 8-bit scan with rescoring, words, a catalogue on disk."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve


@dataclass
class Gnomon:
    """A collection in a folder; the model is loaded with the collection."""

    model: Path
    made: dict[str, Any] = field(default_factory=dict)

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """One file of JSON lines, as a user would give it."""
        import gnomon

        source = folder.parent / "gnomon-source"
        source.mkdir()
        with gzip.open(source / "corpus.jsonl.gz", "wt", encoding="utf-8", compresslevel=1) as file:
            file.writelines(json.dumps(row) + "\n" for row in documents)
        settings = gnomon.CollectionSettings(model=str(self.model))
        self.made["kb"] = gnomon.open(folder, settings=settings)
        self.made["kb"].index([source])

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """Hits grouped by document."""
        hits = self.made["kb"].search(query, k=k, mode=mode, by="document")
        return [(hit.document, hit.score) for hit in hits]


def make(model: Path) -> Gnomon:
    """Import what a search needs."""
    import gnomon.collection  # noqa: F401
    import gnomon.encode.transformer  # noqa: F401

    return Gnomon(model)


if __name__ == "__main__":
    serve(make, ("gnomon", "openvino", "faiss-cpu", "tantivy"))
