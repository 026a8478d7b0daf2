"""sentence-transformers with a flat FAISS index: exact, fp32, the texts kept beside it as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.jobs import Hit, serve, whole


@dataclass
class Flat:
    """The model, and once indexed the index and the texts."""

    model: Any
    made: dict[str, Any] = field(default_factory=dict)

    def index(self, documents: Sequence[dict[str, Any]], folder: Path) -> None:
        """Encode, add, save."""
        import faiss

        texts = [whole(row) for row in documents]
        vectors = self.model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        folder.mkdir()
        faiss.write_index(index, str(folder / "vectors.faiss"))
        kept = [{"id": row["_id"], "text": text} for row, text in zip(documents, texts, strict=True)]
        (folder / "texts.json").write_text(json.dumps(kept))
        self.made.update(index=index, kept=kept)

    def search(self, query: str, k: int, mode: str) -> list[Hit]:
        """The nearest by inner product."""
        vector = self.model.encode([query], normalize_embeddings=True, show_progress_bar=False)
        scores, found = self.made["index"].search(vector, k)
        kept = self.made["kept"]
        return [(kept[at]["id"], float(score)) for at, score in zip(found[0], scores[0], strict=True)]


def make(model: Path) -> Flat:
    """Load the model."""
    import faiss  # noqa: F401
    from sentence_transformers import SentenceTransformer

    return Flat(SentenceTransformer(str(model), device="cpu"))


if __name__ == "__main__":
    serve(make, ("sentence-transformers", "faiss-cpu", "torch"))
