"""Dropout whose random numbers cost an eighth: a byte for each value instead of a number."""

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
        """Drops in training, and nothing else."""
        return byte_dropout(values, self.p) if self.training else values


class _Masked(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(context: Any, values: Tensor, kept: Tensor, scale: float) -> Tensor:
        context.save_for_backward(kept)
        context.scale = scale
        return (values * kept).mul_(scale)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (kept,) = context.saved_tensors
        return (gradient * kept).mul_(context.scale), None, None


def with_byte_dropout(network: nn.Module) -> None:
    """Put ByteDropout in the place of every nn.Dropout of a network that stays on the CPU."""
    for parent in network.modules():
        for name, child in list(parent.named_children()):
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p))
