"""Haystack with its document store in memory: numpy scan, BM25 in Python, JSON on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve, whole


@dataclass
class Haystack:
    """The two embedders, and once indexed the store's retrievers."""

    documents: Any
    queries: Any
    made: dict[str, Any] = field(default_factory=dict)

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """Embed, write to the store, save it."""
        from haystack import Document
        from haystack.components.joiners import DocumentJoiner
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        store = InMemoryDocumentStore()
        given = [Document(id=row["_id"], content=whole(row)) for row in documents]
        store.write_documents(self.documents.run(documents=given)["documents"])
        folder.mkdir()
        store.save_to_disk(str(folder / "store.json"))
        self.made["dense"] = InMemoryEmbeddingRetriever(store)
        self.made["words"] = InMemoryBM25Retriever(store)
        self.made["join"] = DocumentJoiner(join_mode="reciprocal_rank_fusion")

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """The nearest, or the best 100 of each kind joined by reciprocal rank."""
        vector = self.queries.run(text=query)["embedding"]
        depth = k if mode == "dense" else 100
        found = self.made["dense"].run(query_embedding=vector, top_k=depth)["documents"]
        if mode == "hybrid":
            words = self.made["words"].run(query=query, top_k=depth)["documents"]
            found = self.made["join"].run(documents=[found, words], top_k=k)["documents"]
        return [(document.id, document.score) for document in found]


def make(model: Path) -> Haystack:
    """Load the model, which both embedders share."""
    from haystack.utils import ComponentDevice
    from haystack_integrations.components.embedders import sentence_transformers as parts

    cpu = ComponentDevice.from_str("cpu")
    documents = parts.SentenceTransformersDocumentEmbedder(model=str(model), device=cpu, progress_bar=False)
    queries = parts.SentenceTransformersTextEmbedder(model=str(model), device=cpu, progress_bar=False)
    documents.warm_up()
    queries.warm_up()
    return Haystack(documents, queries)


if __name__ == "__main__":
    serve(make, ("haystack-ai", "sentence-transformers-haystack", "sentence-transformers", "torch"))
