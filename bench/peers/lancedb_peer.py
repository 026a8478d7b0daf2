"""LanceDB in a folder: exact scan where no vector index was made, a word index for hybrid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve, whole


@dataclass
class Lance:
    """The embedding function, and once indexed the table."""

    function: Any
    made: dict[str, Any] = field(default_factory=dict)

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """The table makes the vectors itself; then the word index."""
        import lancedb
        from lancedb.embeddings import EmbeddingFunctionConfig

        config = EmbeddingFunctionConfig(vector_column="vector", source_column="text", function=self.function)
        rows = [{"id": row["_id"], "text": whole(row)} for row in documents]
        database = lancedb.connect(str(folder))
        table = database.create_table("documents", rows, embedding_functions=[config])
        table.create_fts_index("text")
        self.made.update(database=database, table=table)

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """Vectors, or vectors and words joined by reciprocal rank, its default."""
        kind = "vector" if mode == "dense" else "hybrid"
        found = self.made["table"].search(query, query_type=kind).limit(k).to_list()
        return [(row["id"], row.get("_relevance_score", -row.get("_distance", 0.0))) for row in found]


def make(model: Path) -> Lance:
    """Load the model."""
    from lancedb.embeddings import get_registry

    function = get_registry().get("sentence-transformers").create(name=str(model), device="cpu")
    function.ndims()
    return Lance(function)


if __name__ == "__main__":
    serve(make, ("lancedb", "sentence-transformers", "torch"))
