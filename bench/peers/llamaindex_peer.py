"""LlamaIndex with its vector store in memory: chunks of 1,024 tokens, a scan in numpy, JSON on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve, whole


@dataclass
class Llama:
    """The embedding model, and once indexed the index."""

    model: Any
    made: dict[str, Any] = field(default_factory=dict)

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """From documents to a persisted index, its own splitter and batches of ten."""
        from llama_index.core import Document, VectorStoreIndex

        given = [Document(text=whole(row), id_=row["_id"]) for row in documents]
        index = VectorStoreIndex.from_documents(given, embed_model=self.model)
        index.storage_context.persist(str(folder))
        self.made["index"] = index

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """The nearest chunks, by their documents."""
        retriever = self.made.get(f"best {k}")
        if retriever is None:
            retriever = self.made[f"best {k}"] = self.made["index"].as_retriever(similarity_top_k=k)
        return [(found.node.ref_doc_id, found.score) for found in retriever.retrieve(query)]


def make(model: Path) -> Llama:
    """Load the model."""
    import llama_index.core  # noqa: F401
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    return Llama(HuggingFaceEmbedding(model_name=str(model), device="cpu"))


if __name__ == "__main__":
    names = ("llama-index-core", "llama-index-embeddings-huggingface", "sentence-transformers", "torch")
    serve(make, names)
