"""Static encoders: a table of token vectors, new or distilled from a transformer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Similarity
from gnomon.encode.layout.backbone import STATIC_MAX_TOKENS
from gnomon.encode.layout.model import ModelLayout
from gnomon.train.contracts import Features, Kind, Reps
from gnomon.train.models.layers import score_matrix
from gnomon.train.models.save import ModuleWriter, replacing_model, write_sentence_model
from gnomon.train.models.tokenizer import ModelTokenizer, open_tokenizer
from gnomon.train.models.towers import ModelPrompts, TrainableBiEncoder


class TrainableStaticEncoder(nn.Module):  # type: ignore[misc]
    """An `Embedder`. A token's weight is the length of its row, so weights are learned with the rows.

    Raises InvalidInput for a table that has not a row for every token.
    """

    kind: Kind = "static"

    def __init__(
        self,
        table: Tensor,
        tokenizer: ModelTokenizer,
        *,
        similarity: Similarity = "cosine",
        prompts: ModelPrompts | None = None,
    ) -> None:
        super().__init__()
        if len(table) < tokenizer.vocabulary:
            raise InvalidInput(
                f"a table of {len(table)} rows for {tokenizer.vocabulary} tokens",
                expected="a row for every token",
            )
        self.table = nn.Parameter(table.detach().float().clone())
        self.tokenizer = tokenizer
        self.similarity, self.prompts = similarity, prompts or ModelPrompts()

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
            raise InvalidInput(f"layers {list(layers)} of a static encoder", expected="its only one, -1")
        device = self.table.device
        flat = torch.cat(features.ids).to(device)
        lengths = torch.tensor([0, *features.lengths[:-1]], device=device)
        means = functional.embedding_bag(flat, self.table, lengths.cumsum(0), mode="mean")
        return [Reps(means) for _ in layers]

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] similarities."""
        return score_matrix(queries.values, documents.values, self.similarity)

    def map_rows(self, weight: Tensor, bias: Tensor) -> None:
        """Make weight @ row + bias of each row, and so of each vector, which is a mean of rows."""
        self.table = nn.Parameter(self.table.detach() @ weight.T + bias)

    def save(self, folder: Path) -> None:
        """Write sentence-transformers' StaticEmbedding."""
        from safetensors.torch import save_file

        with replacing_model(folder) as made:
            modules = ModuleWriter(made)
            modules.add("StaticEmbedding")
            rows = {"embedding.weight": self.table.detach().cpu().contiguous()}
            save_file(rows, str(made / "model.safetensors"))
            self.tokenizer.raw().save(str(made / "tokenizer.json"))
            if self.similarity == "cosine":
                modules.add_normalize("sentence_embedding")
            write_sentence_model(made, modules, prompts=self.prompts.texts, similarity=self.similarity)


def new_static(tokenizer: ModelTokenizer, *, dim: int, seed: int = 0) -> TrainableStaticEncoder:
    """A table of random rows, each dimension of variance one."""
    if dim < 1:
        raise InvalidInput(f"a static encoder of {dim} dimensions", expected="at least 1")
    random = torch.Generator().manual_seed(seed)
    table = torch.randn(tokenizer.vocabulary, dim, generator=random)
    return TrainableStaticEncoder(table, tokenizer.with_limit(STATIC_MAX_TOKENS))


def open_static(layout: ModelLayout, prompts: ModelPrompts) -> TrainableStaticEncoder:
    """From a folder of sentence-transformers or model2vec, whose weights and mapping go into the rows.

    Raises ModelUnsupported for one with Dense layers after its table.
    """
    from safetensors.torch import load_file

    if layout.projections:
        raise ModelUnsupported(
            f"{layout.name}, a static model with Dense layers",
            expected="a table of token vectors alone",
            hint="choose another model to start from",
        )
    held = load_file(str(layout.weights))
    table = held["embedding.weight"] if "embedding.weight" in held else held["embeddings"]
    rows = table.float() if "mapping" not in held else table.float()[held["mapping"].long()]
    if "weights" in held:
        rows = rows * held["weights"].float()[:, None]
    tokenizer = open_tokenizer(layout.tokenizer.parent, max_tokens=STATIC_MAX_TOKENS, special=False)
    return TrainableStaticEncoder(rows, tokenizer, similarity=layout.similarity, prompts=prompts)


BATCH = 512


def distil_static(
    teacher: TrainableBiEncoder, *, dim: int = 256, counts: Mapping[int, int] | None = None, sif: float = 1e-4
) -> TrainableStaticEncoder:
    """Each token encoded alone, the principal `dim` directions kept, then weighed by rarity.

    As model2vec does (https://github.com/MinishLab/model2vec); the weights are SIF's, a/(a + p) (Arora et
    al. 2017, A simple but tough-to-beat baseline for sentence embeddings, equation 3). p comes of `counts`
    of token ids in a corpus, or else of Zipf's law over the order of the vocabulary, in which common tokens
    come first. Raises InvalidInput for more dimensions than the teacher has.
    """
    if not 1 <= dim <= teacher.dim:
        raise InvalidInput(f"dim = {dim}, of a teacher of {teacher.dim}", expected=f"1 to {teacher.dim}")
    if sif <= 0:
        raise InvalidInput(f"sif = {sif}", expected="more than 0; 1e-4 is usual")
    tokenizer = teacher.tower.backbone.tokenizer
    rows = principal(_alone(teacher), dim)
    weights = sif / (sif + _probabilities(tokenizer.vocabulary, counts))
    return TrainableStaticEncoder(
        rows * weights[:, None], tokenizer.with_limit(STATIC_MAX_TOKENS), similarity=teacher.similarity
    )


def count_tokens(tokenizer: ModelTokenizer, texts: Iterable[str]) -> dict[int, int]:
    """How often each token id occurs in texts, special tokens left out."""
    total = torch.zeros(tokenizer.vocabulary, dtype=torch.long)
    left = iter(texts)
    while part := list(islice(left, 4096)):
        flat = torch.cat(tokenizer.encode(part, special=False))
        total += torch.bincount(flat, minlength=len(total))
    return {at: int(count) for at, count in enumerate(total.tolist()) if count}


def principal(rows: Tensor, dim: int) -> Tensor:
    """Rows [n, d], centred, along their `dim` directions of greatest variance."""
    centred = rows.double() - rows.double().mean(0)
    _, directions = torch.linalg.eigh(centred.T @ centred)  # least first
    return (centred @ directions.flip(1)[:, :dim]).float()


def _alone(teacher: TrainableBiEncoder) -> Tensor:
    tokenizer, was = teacher.tower.backbone.tokenizer, teacher.training
    before, after = tokenizer.frame()
    teacher.eval()
    try:
        with torch.inference_mode():
            parts = [
                teacher.embed(
                    Features(
                        tuple(
                            torch.tensor([*before, one, *after])
                            for one in range(at, min(at + BATCH, tokenizer.vocabulary))
                        ),
                        "document",
                    )
                )[0].values.cpu()
                for at in range(0, tokenizer.vocabulary, BATCH)
            ]
    finally:
        teacher.train(was)
    return torch.cat(parts)


def _probabilities(vocabulary: int, counts: Mapping[int, int] | None) -> Tensor:
    if counts is None:
        weights = 1 / torch.arange(2, vocabulary + 2, dtype=torch.float64)
    else:
        weights = torch.tensor([counts.get(one, 0) + 1 for one in range(vocabulary)], dtype=torch.float64)
    return (weights / weights.sum()).float()
