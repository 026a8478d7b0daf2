"""Attention of short texts on a CPU: all of a text's weights at once, where that is the faster way."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gnomon.train.dropout import byte_dropout

NAME = "gnomon_short"
# Above this many tokens the weights of a batch no longer fit a CPU's caches.
SHORT = 512


def short_attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """As transformers asks it of an attention: [texts, heads, tokens, dim] to [texts, tokens, heads, dim].

    On a CPU the backward pass of torch's flash attention takes as long as all matrix products of a small
    network together; three plain products take a third of that. Elsewhere, for long texts, grouped heads and
    causal attention: torch's scaled_dot_product_attention.
    """
    causal = more.get("is_causal")
    causal = bool(getattr(module, "is_causal", False)) if causal is None else bool(causal)
    plain = query.device.type == "cpu" and key.shape == query.shape and query.shape[2] <= SHORT
    if not plain or (causal and attention_mask is None):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        out: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **more)
        return out
    scaling, dropout = more.get("scaling"), float(more.get("dropout") or 0.0)
    scores = (query * (query.shape[3] ** -0.5 if scaling is None else scaling)) @ key.transpose(2, 3)
    if attention_mask is not None:
        scores = scores + _bias(attention_mask, scores)
    # In the products' own precision: torch sums in float32 inside.
    with torch.autocast(query.device.type, enabled=False):
        weights = scores.softmax(3)
    if dropout:
        weights = byte_dropout(weights, dropout)
    return (weights @ value).transpose(1, 2).contiguous(), None


def register_attention() -> str:
    """Make it known to transformers; its name there."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, short_attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def _bias(mask: Tensor, scores: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask.to(scores.dtype)
    bias = torch.zeros_like(mask, dtype=scores.dtype)
    # Not -inf: a row that is all padding would be NaN, and its gradient everyone's.
    return bias.masked_fill_(~mask, torch.finfo(scores.dtype).min)
