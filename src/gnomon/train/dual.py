"""The dual encoder: one tower for queries and one for documents, into one space."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Similarity
from gnomon.train.contracts import Features, Kind, Reps
from gnomon.train.saving import TYPES, Parts, whole_folder, write_json, write_sentence_model
from gnomon.train.scoring import score_matrix
from gnomon.train.tower import Prompts, Tower


class DualEncoder(nn.Module):  # type: ignore[misc]
    """Keeps `Embedder`. Each tower has its own weights, tokenizer, pooling and projection.

    Karpukhin et al. 2020, Dense Passage Retrieval (arXiv:2004.04906). Raises InvalidInput for towers of
    different dimensions.
    """

    kind: Kind = "dual"

    def __init__(
        self,
        query: Tower,
        document: Tower,
        *,
        similarity: Similarity = "cosine",
        prompts: Prompts | None = None,
    ) -> None:
        super().__init__()
        if query.dim != document.dim:
            raise InvalidInput(
                f"a query tower of {query.dim} dimensions and a document tower of {document.dim}",
                wanted="one number of dimensions, which both share",
                next_step="give `dim`: both towers are then projected to it",
            )
        self.query, self.document = query, document
        self.similarity, self.prompts = similarity, prompts or Prompts()

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return self.query.dim

    def tower(self, role: Role) -> Tower:
        """The tower of this role."""
        return self.query if role == "query" else self.document

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts tokenised by their role's tower."""
        return self.tower(role).features(texts, role, self.prompts, source)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """One vector a text for each layer asked for, not normalised."""
        return self.tower(features.role).embed(features, layers)

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] similarities."""
        return score_matrix(queries.values, documents.values, self.similarity)

    def save(self, folder: Path) -> None:
        """Write a sentence-transformers folder: a Router with both towers, Normalize."""
        with whole_folder(folder) as made:
            whole = Parts(made)
            whole.place("Router")
            routes = {}
            for role, tower in (("query", self.query), ("document", self.document)):
                routes[role] = Parts(made, role)
                routes[role].add_tower(tower, include_prompt=self.prompts.pooled)
            write_json(made / "router_config.json", _router(routes))
            if self.similarity == "cosine":
                whole.add_normalize("sentence_embedding")
            write_sentence_model(made, whole, prompts=self.prompts.texts, similarity=self.similarity)


def _router(routes: dict[str, Parts]) -> dict[str, object]:
    return {
        "types": {path: TYPES[name] for parts in routes.values() for name, path in parts.rows},
        "structure": {role: [path for _, path in parts.rows] for role, parts in routes.items()},
        "parameters": {"default_route": "document", "allow_empty_key": True, "route_mappings": {}},
    }
