"""Models that make one vector a text: the bi-encoder, and the dual encoder with a tower for each role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Similarity
from gnomon.train.contracts import Features, Kind, Reps
from gnomon.train.models.backbone import TrainableBackbone
from gnomon.train.models.layers import TrainablePooling, TrainableProjection, score_matrix
from gnomon.train.models.save import TYPES, ModuleWriter, replacing_model, write_json, write_sentence_model


@dataclass(frozen=True)
class ModelPrompts:
    """Prompts before texts: by role ("query"), or by source and role ("nq/query"), which wins.

    With `pooled` False the prompt is read, and its tokens do not count in pooling.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    pooled: bool = True

    def of(self, role: Role, source: str) -> str:
        """The prompt of texts of this role from this source; "" for none."""
        return self.texts.get(f"{source}/{role}", self.texts.get(role, ""))


class Tower(nn.Module):  # type: ignore[misc]
    """Texts to one vector each."""

    def __init__(
        self, backbone: TrainableBackbone, pool: TrainablePooling, projections: Sequence[TrainableProjection] = ()
    ) -> None:
        super().__init__()
        self.backbone, self.pool = backbone, pool
        self.projections = nn.ModuleList(projections)

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return int(self.projections[-1].out_dim) if len(self.projections) else self.backbone.dim

    def features(self, texts: Sequence[str], role: Role, prompts: ModelPrompts, *, source: str) -> Features:
        """The texts tokenised, with their prompt."""
        prompt = prompts.of(role, source)
        tokenizer = self.backbone.tokenizer
        ids = tokenizer.encode([prompt + text for text in texts] if prompt else texts)
        return Features(ids, role, skip=0 if prompts.pooled else tokenizer.leading(prompt))

    def embed(self, features: Features, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """One vector a text for each layer asked for; pooling and projections are the same for all."""
        found, mask = self.backbone.embed(features.ids, layers)
        return [Reps(self._finished(hidden, mask, features.skip)) for hidden in found]

    def write(self, modules: ModuleWriter, *, include_prompt: bool) -> None:
        """Write Transformer, Pooling, and a Dense for each projection."""
        modules.add_backbone(self.backbone.save)
        attention = self.pool.attention
        if attention is None:
            write_json(modules.add("Pooling") / "config.json", self.pool.config(include_prompt=include_prompt))
        else:
            attention.include_prompt = include_prompt
            attention.save(str(modules.add("AttentionPooling")))
        for projection in self.projections:
            projection.save(modules.add("Dense"))

    def _finished(self, hidden: Tensor, mask: Tensor | None, skip: int) -> Tensor:
        pooled: Tensor = self.pool(hidden, mask, skip)
        for projection in self.projections:
            pooled = projection(pooled)
        return pooled


class TrainableBiEncoder(nn.Module):  # type: ignore[misc]
    """An `Embedder`. Reimers and Gurevych 2019, Sentence-BERT (arXiv:1908.10084)."""

    kind: Kind = "bi"

    def __init__(self, tower: Tower, *, similarity: Similarity = "cosine", prompts: ModelPrompts | None = None) -> None:
        super().__init__()
        self.tower, self.similarity, self.prompts = tower, similarity, prompts or ModelPrompts()

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return self.tower.dim

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts tokenised, with the prompt of this role and source."""
        return self.tower.features(texts, role, self.prompts, source=source)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """One vector a text for each layer asked for, not normalised."""
        return self.tower.embed(features, layers)

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] similarities."""
        return score_matrix(queries.values, documents.values, self.similarity)

    def save(self, folder: Path) -> None:
        """Write a sentence-transformers folder: Transformer, Pooling, Dense, Normalize."""
        with replacing_model(folder) as made:
            modules = ModuleWriter(made)
            self.tower.write(modules, include_prompt=self.prompts.pooled)
            if self.similarity == "cosine":
                modules.add_normalize("sentence_embedding")
            write_sentence_model(made, modules, prompts=self.prompts.texts, similarity=self.similarity)


class TrainableDualEncoder(nn.Module):  # type: ignore[misc]
    """An `Embedder`. Each tower has its own weights, tokenizer, pooling and projection.

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
        prompts: ModelPrompts | None = None,
    ) -> None:
        super().__init__()
        if query.dim != document.dim:
            raise InvalidInput(
                f"a query tower of {query.dim} dimensions and a document tower of {document.dim}",
                expected="one number of dimensions, which both share",
                hint="give `dim`: both towers are then projected to it",
            )
        self.query, self.document = query, document
        self.similarity, self.prompts = similarity, prompts or ModelPrompts()

    @property
    def dim(self) -> int:
        """Dimensions of the shared space."""
        return self.query.dim

    def tower(self, role: Role) -> Tower:
        """The tower of this role."""
        return self.query if role == "query" else self.document

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts tokenised by their role's tower."""
        return self.tower(role).features(texts, role, self.prompts, source=source)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """One vector a text for each layer asked for, not normalised."""
        return self.tower(features.role).embed(features, layers)

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] similarities."""
        return score_matrix(queries.values, documents.values, self.similarity)

    def save(self, folder: Path) -> None:
        """Write a sentence-transformers folder: a Router with both towers, Normalize."""
        with replacing_model(folder) as made:
            whole = ModuleWriter(made)
            whole.add("Router")
            routes = {}
            for role, tower in (("query", self.query), ("document", self.document)):
                routes[role] = ModuleWriter(made, role)
                tower.write(routes[role], include_prompt=self.prompts.pooled)
            write_json(made / "router_config.json", _router(routes))
            if self.similarity == "cosine":
                whole.add_normalize("sentence_embedding")
            write_sentence_model(made, whole, prompts=self.prompts.texts, similarity=self.similarity)


def _router(routes: dict[str, ModuleWriter]) -> dict[str, object]:
    return {
        "types": {path: TYPES[name] for parts in routes.values() for name, path in parts.rows},
        "structure": {role: [path for _, path in parts.rows] for role, parts in routes.items()},
        "parameters": {"default_route": "document", "allow_empty_key": True, "route_mappings": {}},
    }
