"""Token vectors to one vector. Padding never counts: masks are -inf before a max or a softmax, never 0."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput
from gnomon.kernels.statistics import softmax

Pooling = Literal["mean", "cls", "last", "max", "weightedmean", "mean_sqrt_len", "attention"]


def pool(
    tokens: Float[np.ndarray, "texts tokens dim"],
    mask: Int[np.ndarray, "texts tokens"],
    *,
    how: Pooling,
    query: Float[np.ndarray, " dim"] | None = None,
    before: int = 0,
) -> Float[np.ndarray, "texts dim"]:
    """One vector a text from its token vectors, where `mask` is 1.

    Reimers and Gurevych 2019, Sentence-BERT, section 3 (arXiv:1908.10084) for mean, CLS and max; "last" is
    the last token that is not padding, as decoder models use it; "weightedmean" weighs each token by its
    place, 1, 2, …, after `before` tokens that are left out (Muennighoff 2022, SGPT, arXiv:2202.08904);
    "mean_sqrt_len" divides the sum by the square root of the number of tokens, as sentence-transformers does;
    "attention" weighs them by a learned `query` (see `attention_weights`).
    Raises InvalidInput for another `how`, and for "attention" without a query.

    >>> pool(np.array([[[1.0], [3.0], [99.0]]]), np.array([[1, 1, 0]]), how="mean").tolist()
    [[2.0]]
    >>> pool(np.array([[[1.0], [4.0], [99.0]]]), np.array([[1, 1, 0]]), how="weightedmean").tolist()
    [[3.0]]
    """
    if how == "mean":
        return weighted_mean(tokens, mask.astype(tokens.dtype))
    if how == "mean_sqrt_len":
        summed = weighted_mean(tokens, mask.astype(tokens.dtype)) * mask.sum(1, keepdims=True)
        return np.asarray(summed / np.sqrt(np.maximum(mask.sum(1, keepdims=True), 1)), dtype=tokens.dtype)
    if how == "weightedmean":
        place = np.arange(1, mask.shape[1] + 1)[None, :] - mask.argmax(1)[:, None] + before
        return weighted_mean(tokens, (mask * place).astype(tokens.dtype))
    if how == "attention":
        if query is None:
            raise InvalidInput("attention pooling without a query", expected="the query that was learned")
        return weighted_mean(tokens, attention_weights(tokens, mask, query))
    if how == "cls":
        return np.asarray(tokens[np.arange(len(tokens)), mask.argmax(1)])
    if how == "last":
        last = mask.shape[1] - 1 - mask[:, ::-1].argmax(1)
        return np.asarray(tokens[np.arange(len(tokens)), last])
    if how == "max":
        return np.asarray(np.where(mask[:, :, None] > 0, tokens, -np.inf).max(1).astype(tokens.dtype))
    raise InvalidInput(f"pooling {how!r}", expected=f"one of {', '.join(get_args(Pooling))}")


def attention_weights(
    tokens: Float[np.ndarray, "texts tokens dim"],
    mask: Int[np.ndarray, "texts tokens"],
    query: Float[np.ndarray, " dim"],
) -> Float[np.ndarray, "texts tokens"]:
    """The softmax over each text's tokens of (token · query) / sqrt(dim), where `mask` is 1.

    Yang et al. 2016, Hierarchical Attention Networks, section 2.2 (aclanthology.org/N16-1174), with the
    token vectors as they are; scaled as Vaswani et al. 2017 (arXiv:1706.03762) do. A query of zeros gives
    the mean.

    >>> attention_weights(np.array([[[0.0], [2.0], [9.0]]]), np.array([[1, 1, 0]]), np.zeros(1)).tolist()
    [[0.5, 0.5, 0.0]]
    """
    kept = np.where(mask[:, :, None] > 0, tokens, tokens.dtype.type(0))
    scores = np.where(mask > 0, kept @ query / np.sqrt(len(query)), -np.inf)
    return softmax(scores).astype(tokens.dtype)


def weighted_mean(
    tokens: Float[np.ndarray, "texts tokens dim"], weights: Float[np.ndarray, "texts tokens"]
) -> Float[np.ndarray, "texts dim"]:
    """The mean of each text's token vectors by weight; what has weight 0 does not count, whatever it holds.

    >>> weighted_mean(np.array([[[1.0], [np.nan], [4.0]]]), np.array([[2.0, 0.0, 1.0]])).tolist()
    [[2.0]]
    """
    wide = weights[:, :, None]
    # Chosen, not multiplied: 0 * NaN is NaN, and a runtime may leave anything in the padding.
    kept = np.where(wide > 0, tokens, tokens.dtype.type(0)) * wide
    total = wide.sum(1)
    return np.asarray(kept.sum(1) / np.where(total > 0, total, tokens.dtype.type(1)))
