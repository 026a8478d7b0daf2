"""Attention and dropout that are faster on a CPU, for short texts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_LEAST, _STEPS = -(2**63), 256


def byte_dropout(values: Tensor, p: float) -> Tensor:
    """The values, each 0 with probability p (rounded to 256ths), the others scaled up.

    Srivastava et al. 2014, Dropout, JMLR 15. Drawing masks the usual way took a tenth of a training step.
    """
    drop = min(_STEPS - 1, round(p * _STEPS))
    return _Masked.apply(values, _kept(values, drop), _STEPS / (_STEPS - drop)) if drop else values


def _kept(values: Tensor, drop: int) -> Tensor:
    """A boolean mask of the values' shape: 8 of it from each 64-bit number."""
    count = values.numel()
    drawn = torch.empty(-(-count // 8), dtype=torch.int64).random_(_LEAST, None)
    return (drawn.view(torch.uint8)[:count] >= drop).view(values.shape)


class ByteDropout(nn.Module):  # type: ignore[misc]
    """nn.Dropout by `byte_dropout`, from the same generator, for the CPU."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Drops in training only."""
        return byte_dropout(values, self.p) if self.training else values


class _Masked(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(context: Any, values: Tensor, kept: Tensor, scale: float) -> Tensor:  # noqa: PLR0917 - as torch calls it
        context.save_for_backward(kept)
        context.scale = scale
        return (values * kept).mul_(scale)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = context.saved_tensors
        return (gradient * kept).mul_(context.scale), None, None


def with_byte_dropout(network: nn.Module) -> None:
    """Replace every nn.Dropout of a network by ByteDropout; for networks on the CPU."""
    for parent in network.modules():
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p))


NAME = "gnomon_short"
# Above this many tokens the weights of a batch no longer fit a CPU's caches.
SHORT = 512


def short_attention(  # noqa: PLR0917 - as transformers calls it
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """An attention function of transformers: [texts, heads, tokens, dim] to [texts, tokens, heads, dim].

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
    """Register `short_attention` with transformers. Returns its name there."""
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
