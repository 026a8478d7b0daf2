"""The static encoder: a row a token, and their mean. Fast to train and faster to use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Similarity
from gnomon.encode.layout import ModelLayout
from gnomon.encode.limits import STATIC_TOKENS
from gnomon.train.contracts import Features, Kind, Reps
from gnomon.train.saving import Parts, whole_folder, write_sentence_model
from gnomon.train.scoring import score_matrix
from gnomon.train.tokenizer import ModelTokenizer, open_tokenizer
from gnomon.train.tower import Prompts


class StaticEmbedder(nn.Module):  # type: ignore[misc]
    """Keeps `Embedder`. A token's weight is the length of its row, so weights are learned with the rows.

    Raises InvalidInput for a table that has not a row for every token.
    """

    kind: Kind = "static"

    def __init__(
        self,
        table: Tensor,
        tokenizer: ModelTokenizer,
        *,
        similarity: Similarity = "cosine",
        prompts: Prompts | None = None,
    ) -> None:
        super().__init__()
        if len(table) < tokenizer.vocabulary:
            raise InvalidInput(
                f"a table of {len(table)} rows for {tokenizer.vocabulary} tokens",
                wanted="a row for every token",
            )
        self.table = nn.Parameter(table.detach().float().clone())
        self.tokenizer = tokenizer
        self.similarity, self.prompts = similarity, prompts or Prompts()

    @property
    def dim(self) -> int:
        """Dimensions of the vectors."""
        return int(self.table.shape[1])

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts' own tokens, without special tokens; none is cut."""
        prompt = self.prompts.of(role, source)
        given = [prompt + text for text in texts] if prompt else texts
        return Features(self.tokenizer.encode(given, special=False), role)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """The mean row of each text, zero for a text without tokens. Raises InvalidInput for inner layers."""
        if any(layer not in (-1, 0) for layer in layers):
            raise InvalidInput(f"layers {list(layers)} of a static encoder", wanted="its only one, -1")
        device = self.table.device
        flat = torch.cat(features.ids).to(device)
        lengths = torch.tensor([0, *features.lengths[:-1]], device=device)
        means = functional.embedding_bag(flat, self.table, lengths.cumsum(0), mode="mean")
        return [Reps(means) for _ in layers]

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] similarities."""
        return score_matrix(queries.values, documents.values, self.similarity)

    def save(self, folder: Path) -> None:
        """Write sentence-transformers' StaticEmbedding."""
        from safetensors.torch import save_file

        with whole_folder(folder) as made:
            parts = Parts(made)
            parts.place("StaticEmbedding")
            rows = {"embedding.weight": self.table.detach().cpu().contiguous()}
            save_file(rows, str(made / "model.safetensors"))
            self.tokenizer.raw().save(str(made / "tokenizer.json"))
            if self.similarity == "cosine":
                parts.add_normalize("sentence_embedding")
            write_sentence_model(made, parts, prompts=self.prompts.texts, similarity=self.similarity)


def new_static(tokenizer: ModelTokenizer, *, dim: int, seed: int = 0) -> StaticEmbedder:
    """A table of random rows, each dimension of variance one."""
    if dim < 1:
        raise InvalidInput(f"a static encoder of {dim} dimensions", wanted="at least 1")
    random = torch.Generator().manual_seed(seed)
    table = torch.randn(tokenizer.vocabulary, dim, generator=random)
    return StaticEmbedder(table, tokenizer.with_limit(STATIC_TOKENS))


def open_static(layout: ModelLayout, prompts: Prompts) -> StaticEmbedder:
    """From a folder of sentence-transformers or model2vec, whose weights and mapping go into the rows.

    Raises ModelUnsupported for one with Dense layers after its table.
    """
    from safetensors.torch import load_file

    if layout.projections:
        raise ModelUnsupported(
            f"{layout.name}, a static model with Dense layers",
            wanted="a table of token vectors alone",
            next_step="choose another model to start from",
        )
    held = load_file(str(layout.weights))
    table = held["embedding.weight"] if "embedding.weight" in held else held["embeddings"]
    rows = table.float() if "mapping" not in held else table.float()[held["mapping"].long()]
    if "weights" in held:
        rows = rows * held["weights"].float()[:, None]
    tokenizer = open_tokenizer(layout.tokenizer.parent, max_tokens=STATIC_TOKENS)
    return StaticEmbedder(rows, tokenizer, similarity=layout.similarity, prompts=prompts)
