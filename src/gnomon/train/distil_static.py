"""A static encoder from a transformer: what it makes of each token of its vocabulary alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput
from gnomon.encode.limits import STATIC_TOKENS
from gnomon.train.bi import BiEncoder
from gnomon.train.contracts import Features
from gnomon.train.static import StaticEmbedder
from gnomon.train.tokenizer import ModelTokenizer

BATCH = 512


def distil_static(
    teacher: BiEncoder, *, dim: int = 256, counts: Mapping[int, int] | None = None, sif: float = 1e-4
) -> StaticEmbedder:
    """Each token encoded alone, the principal `dim` directions kept, then weighed by rarity.

    As model2vec does (https://github.com/MinishLab/model2vec); the weights are SIF's, a/(a + p) (Arora et
    al. 2017, A simple but tough-to-beat baseline for sentence embeddings, equation 3). p comes of `counts`
    of token ids in a corpus, or else of Zipf's law over the order of the vocabulary, in which common tokens
    come first. Raises InvalidInput for more dimensions than the teacher has.
    """
    if not 1 <= dim <= teacher.dim:
        raise InvalidInput(f"dim = {dim}, of a teacher of {teacher.dim}", wanted=f"1 to {teacher.dim}")
    if sif <= 0:
        raise InvalidInput(f"sif = {sif}", wanted="more than 0; 1e-4 is usual")
    tokenizer = teacher.tower.backbone.tokenizer
    rows = principal(_alone(teacher), dim)
    weights = sif / (sif + _probabilities(tokenizer.vocabulary, counts))
    return StaticEmbedder(
        rows * weights[:, None], tokenizer.with_limit(STATIC_TOKENS), similarity=teacher.similarity
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


def _alone(teacher: BiEncoder) -> Tensor:
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
