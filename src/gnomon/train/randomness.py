"""The state of torch's random numbers: kept, and brought back, so that a dropout falls twice the same way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class RandomState:
    """Where the generators stand: bytes of the CPU's, and of the GPU's where `device` is one."""

    device: torch.device
    cpu: Tensor
    cuda: Tensor | None = None


def captured(device: torch.device) -> RandomState:
    """The state as it is now, of the CPU and, where `device` is one, of that GPU."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return RandomState(device, torch.get_rng_state(), cuda)


def resume(state: RandomState) -> None:
    """Let the generators go on from this state."""
    torch.set_rng_state(state.cpu)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda, state.device)


@contextmanager
def restored(state: RandomState) -> Iterator[None]:
    """Inside, random numbers start from this state; afterwards they go on as if nothing had been drawn."""
    before = captured(state.device)
    resume(state)
    try:
        yield
    finally:
        resume(before)
