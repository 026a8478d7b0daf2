"""txtai with texts stored (content) and words indexed (hybrid): FAISS and SQLite, saved to a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve, whole


@dataclass
class Txtai:
    """An embeddings database."""

    embeddings: Any

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """Index, then save."""
        self.embeddings.index([(row["_id"], whole(row), None) for row in documents])
        self.embeddings.save(str(folder))

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """Vectors only by weight 1, else its default weights."""
        found = self.embeddings.search(query, k, weights=1.0 if mode == "dense" else None)
        return [(row["id"], row["score"]) for row in found]


def make(model: Path) -> Txtai:
    """Set the model; txtai loads it on first use, which is asked for here."""
    from txtai import Embeddings

    embeddings = Embeddings(path=str(model), content=True, hybrid=True)
    embeddings.transform("ready")
    return Txtai(embeddings)


if __name__ == "__main__":
    serve(make, ("txtai", "faiss-cpu", "transformers", "torch"))
