"""Chroma in a folder: HNSW over fp32 vectors, made by its own sentence-transformers function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve, whole


@dataclass
class Chroma:
    """The embedding function, and once indexed the collection."""

    function: Any
    made: dict[str, Any] = field(default_factory=dict)

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """One call of add for as many documents as it takes at once; it saves as it goes."""
        import chromadb
        from chromadb.config import Settings

        client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        collection = client.create_collection("documents", embedding_function=self.function)
        most = client.get_max_batch_size()
        for at in range(0, len(documents), most):
            some = documents[at : at + most]
            collection.add(ids=[row["_id"] for row in some], documents=[whole(row) for row in some])
        self.made.update(client=client, collection=collection)

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """The nearest; ids, distances, texts and metadata come by default."""
        found = self.made["collection"].query(query_texts=[query], n_results=k)
        return list(zip(found["ids"][0], found["distances"][0], strict=True))


def make(model: Path) -> Chroma:
    """Load the model."""
    import chromadb  # noqa: F401
    from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction

    return Chroma(SentenceTransformerEmbeddingFunction(model_name=str(model)))


if __name__ == "__main__":
    serve(make, ("chromadb", "sentence-transformers", "torch"))
