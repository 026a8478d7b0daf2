"""The bi-encoder: one tower for queries and documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from gnomon.core.contracts import Role
from gnomon.core.space import Similarity
from gnomon.train.contracts import Features, Kind, Reps
from gnomon.train.saving import Parts, whole_folder, write_sentence_model
from gnomon.train.scoring import score_matrix
from gnomon.train.tower import Prompts, Tower


class BiEncoder(nn.Module):  # type: ignore[misc]
    """Keeps `Embedder`. Reimers and Gurevych 2019, Sentence-BERT (arXiv:1908.10084)."""

    kind: Kind = "bi"

    def __init__(
        self, tower: Tower, *, similarity: Similarity = "cosine", prompts: Prompts | None = None
    ) -> None:
        super().__init__()
        self.tower, self.similarity, self.prompts = tower, similarity, prompts or Prompts()

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return self.tower.dim

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts tokenised, with the prompt of this role and source."""
        return self.tower.features(texts, role, self.prompts, source)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """One vector a text for each layer asked for, not normalised."""
        return self.tower.embed(features, layers)

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] similarities."""
        return score_matrix(queries.values, documents.values, self.similarity)

    def save(self, folder: Path) -> None:
        """Write a sentence-transformers folder: Transformer, Pooling, Dense, Normalize."""
        with whole_folder(folder) as made:
            parts = Parts(made)
            parts.add_tower(self.tower, include_prompt=self.prompts.pooled)
            if self.similarity == "cosine":
                parts.add_normalize("sentence_embedding")
            write_sentence_model(made, parts, prompts=self.prompts.texts, similarity=self.similarity)
