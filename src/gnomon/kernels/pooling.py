"""Token vectors to one vector. Padding never counts: masks are -inf before a max, never 0."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput

Pooling = Literal["mean", "cls", "last", "max"]


def pool(
    tokens: Float[np.ndarray, "texts tokens dim"], mask: Int[np.ndarray, "texts tokens"], *, how: Pooling
) -> Float[np.ndarray, "texts dim"]:
    """One vector a text from its token vectors, where `mask` is 1.

    Reimers and Gurevych 2019, Sentence-BERT, section 3 (arXiv:1908.10084) for mean, CLS and max; "last" is
    the last token that is not padding, as decoder models use it.

    >>> pool(np.array([[[1.0], [3.0], [99.0]]]), np.array([[1, 1, 0]]), how="mean").tolist()
    [[2.0]]
    """
    if how == "mean":
        weights = mask[:, :, None].astype(tokens.dtype)
        # Chosen, not multiplied: 0 * NaN is NaN, and a runtime may leave anything in the padding.
        kept = np.where(weights > 0, tokens, tokens.dtype.type(0))
        return np.asarray(kept.sum(1) / np.maximum(weights.sum(1), 1))
    if how == "cls":
        return np.asarray(tokens[np.arange(len(tokens)), mask.argmax(1)])
    if how == "last":
        last = mask.shape[1] - 1 - mask[:, ::-1].argmax(1)
        return np.asarray(tokens[np.arange(len(tokens)), last])
    if how == "max":
        return np.asarray(np.where(mask[:, :, None] > 0, tokens, -np.inf).max(1).astype(tokens.dtype))
    raise InvalidInput(f"pooling {how!r}", wanted=f"one of {', '.join(get_args(Pooling))}")
