"""A batch in pieces of similar length, computed in one graph, or twice (GradCache)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from gnomon.train.contracts import Reps


@dataclass(frozen=True, eq=False)
class RandomState:
    """State of the random generators: the CPU's, and the GPU's if `device` is one."""

    device: torch.device
    cpu: Tensor
    cuda: Tensor | None = None


def capture_random_state(device: torch.device) -> RandomState:
    """The current state of the CPU's generator and, if `device` is a GPU, of that GPU's."""
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return RandomState(device, torch.get_rng_state(), cuda)


def set_random_state(state: RandomState) -> None:
    """Set the generators to this state."""
    torch.set_rng_state(state.cpu)
    if state.cuda is not None:
        torch.cuda.set_rng_state(state.cuda, state.device)


@contextmanager
def temporary_random_state(state: RandomState) -> Iterator[None]:
    """Use this random state while the block runs, and restore the former one afterwards."""
    before = capture_random_state(state.device)
    set_random_state(state)
    try:
        yield
    finally:
        set_random_state(before)


Precision = Literal["float32", "bfloat16"]

PieceRun = Callable[[], list[Reps]]
"""Computes one piece: a Reps for each layer."""


def split_into_pieces(lengths: Sequence[int], *, items: int | None, tokens: int | None) -> list[list[int]]:
    """Positions in pieces of similar length, longest first, so that there is little padding.

    A piece has at most `items` members and at most `tokens` tokens with its padding (None: any number), but
    at least one member.
    """
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    pieces: list[list[int]] = []
    for at in order:
        piece = pieces[-1] if pieces else None
        full = (
            piece is None
            or (items is not None and len(piece) >= items)
            or (tokens is not None and lengths[piece[0]] * (len(piece) + 1) > tokens)
        )
        if piece is None or full:
            pieces.append([at])
        else:
            piece.append(at)
    return pieces


def padded_tokens(lengths: Sequence[int], pieces: Sequence[Sequence[int]]) -> int:
    """Tokens of the pieces with their padding."""
    return sum(max(lengths[at] for at in piece) * len(piece) for piece in pieces)


@dataclass(frozen=True, eq=False)
class ComputedPieces:
    """The pieces' representations, float32. `replays` is empty if they are part of the model's graph."""

    parts: tuple[list[Reps], ...]
    replays: tuple[tuple[PieceRun, RandomState], ...]
    precision: Precision
    device: torch.device

    def backward(self) -> None:
        """Carry the gradients from the parts into the model, after the loss's own backward().

        Each piece is computed anew, with the random numbers that it had, and gets the gradient that its
        first computing was given.
        """
        # Without replays nothing is left to do: the loss's own backward() has reached the model.
        for (run, state), leaves in zip(self.replays, self.parts, strict=False):
            gradients = [leaf.values.grad for leaf in leaves]
            if all(gradient is None for gradient in gradients):
                continue
            with temporary_random_state(state), autocast(self.precision, self.device):
                again = run()
            pairs = [(r.values.float(), g) for r, g in zip(again, gradients, strict=True) if g is not None]
            torch.autograd.backward([values for values, _ in pairs], [gradient for _, gradient in pairs])


def compute_pieces(
    runs: Sequence[PieceRun], *, cached: bool, precision: Precision, device: torch.device
) -> ComputedPieces:
    """Compute each piece. With `cached`, without a graph: the parts are leaves, and runs are kept for replay.

    L. Gao, Y. Zhang, J. Han, J. Callan: Scaling Deep Contrastive Learning Batch Size under Memory Limited
    Setup, RepL4NLP 2021, arXiv:2101.06983. The loss's gradient at the representations is all that a piece
    needs to know of the others, so that no two pieces' activations are in memory together.
    """
    if not cached:
        with autocast(precision, device):
            return ComputedPieces(tuple(_single(run()) for run in runs), (), precision, device)
    states, parts = [], []
    with torch.no_grad(), autocast(precision, device):
        for run in runs:
            states.append(capture_random_state(device))
            parts.append([replace(r, values=r.values.requires_grad_()) for r in _single(run())])
    return ComputedPieces(tuple(parts), tuple(zip(runs, states, strict=True)), precision, device)


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast matrix products to this precision; weights stay float32."""
    context: AbstractContextManager[Any] = torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )
    return context


def _single(reps: Sequence[Reps]) -> list[Reps]:
    return [replace(r, values=r.values.float()) for r in reps]
