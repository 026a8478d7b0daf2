"""Qdrant Edge in a folder: fp32 vectors by sentence-transformers, its own BM25 as sparse vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve, whole


@dataclass
class Edge:
    """The model, the word weights, and once indexed the shard."""

    model: Any
    words: Any
    made: dict[str, Any] = field(default_factory=dict)

    def encode(self, texts: list[str]) -> list[list[float]]:
        """Vectors as lists, which is what it takes."""
        vectors: list[list[float]] = self.model.encode(texts, show_progress_bar=False).tolist()
        return vectors

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """Points with a dense and a sparse vector and the text, optimised and flushed."""
        import qdrant_edge as qe

        texts = [whole(row) for row in documents]
        vectors = self.encode(texts)
        folder.mkdir()
        dense = qe.EdgeVectorParams(size=len(vectors[0]), distance=qe.Distance.Cosine)
        sparse = qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf)
        config = qe.EdgeConfig(vectors={"dense": dense}, sparse_vectors={"words": sparse})
        shard = qe.EdgeShard.create(str(folder), config)
        points = [
            qe.Point(
                at,
                {"dense": vectors[at], "words": self.words.embed_document(text)},
                {"id": documents[at]["_id"], "text": text},
            )
            for at, text in enumerate(texts)
        ]
        shard.update(qe.UpdateOperation.upsert_points(points))
        shard.optimize()
        shard.flush()
        self.made["shard"] = shard

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """The nearest, or the best 100 of each kind joined by reciprocal rank."""
        import qdrant_edge as qe

        near = qe.Query.Nearest(self.encode([query])[0], using="dense")
        if mode == "dense":
            request = qe.QueryRequest(limit=k, query=near, with_payload=True)
        else:
            words = qe.Query.Nearest(self.words.embed_query(query), using="words")
            both = [qe.Prefetch(limit=100, query=near), qe.Prefetch(limit=100, query=words)]
            joined: Any = qe.Fusion.Rrf(k=2)
            request = qe.QueryRequest(limit=k, prefetches=both, query=joined, with_payload=True)
        return [(point.payload["id"], point.score) for point in self.made["shard"].query(request)]


def make(model: Path) -> Edge:
    """Load the model."""
    import qdrant_edge as qe
    from sentence_transformers import SentenceTransformer

    return Edge(SentenceTransformer(str(model), device="cpu"), qe.Bm25())


if __name__ == "__main__":
    serve(make, ("qdrant-edge-py", "sentence-transformers", "torch"))
