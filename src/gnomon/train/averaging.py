"""Averages of weights: along the run (EMA), and between its start and its end. Pure functions on weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput

Weights = Mapping[str, Tensor]
"""A state dict: tensors by name."""


def copied(weights: Weights) -> dict[str, Tensor]:
    """Weights of their own, which training does not change."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def averaged(average: Weights, weights: Weights, decay: float) -> dict[str, Tensor]:
    """The exponential moving average, moved on by one step: decay * average + (1 - decay) * weights.

    Whole numbers, as positions, are taken from the weights. B. Polyak, A. Juditsky: Acceleration of
    Stochastic Approximation by Averaging, SIAM J. Control Optim. 30(4), 1992, doi:10.1137/0330046. Raises
    InvalidInput for weights of other names or shapes, or a decay outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise InvalidInput(f"decay = {decay}", expected="a number from 0 (no average) to below 1, as 0.999")
    return between(average, weights, 1 - decay)


def warm_decay(decay: float, step: int) -> float:
    """The decay to use at this step, counted from 0, so that the first weights do not weigh for long.

    min(decay, (1 + step) / (10 + step)), as TensorFlow's ExponentialMovingAverage has it.

    >>> [round(warm_decay(0.999, step), 3) for step in (0, 90, 100_000)]
    [0.1, 0.91, 0.999]
    """
    return min(decay, (1 + step) / (10 + step))


def between(start: Weights, end: Weights, share: float) -> dict[str, Tensor]:
    """start + share * (end - start), tensor by tensor: 0 is the start, 1 the end.

    What fine-tuning gains in its domain and what the start knew of others are both kept for shares between:
    M. Wortsman et al.: Robust fine-tuning of zero-shot models, CVPR 2022, arXiv:2109.01903 (WiSE-FT). Whole
    numbers are taken from the end. Raises InvalidInput for weights of other names or shapes, or a share
    outside [0, 1].
    """
    if not 0 <= share <= 1:
        raise InvalidInput(f"share = {share}", expected="a number from 0 (the start) to 1 (the end)")
    _require_alike(start, end)
    with torch.no_grad():
        return {
            name: torch.lerp(start[name], tensor, share) if tensor.is_floating_point() else tensor.clone()
            for name, tensor in end.items()
        }


def _require_alike(first: Weights, second: Weights) -> None:
    names = sorted(first.keys() ^ second.keys())
    names += sorted(n for n in first.keys() & second.keys() if first[n].shape != second[n].shape)
    if names:
        raise InvalidInput(
            f"two sets of weights that differ in {len(names)} names or shapes, as {names[0]!r}",
            expected="weights of one architecture",
            hint="average a run's weights with its own start",
        )


@contextmanager
def in_place_of(model: Any, weights: Weights) -> Iterator[None]:
    """Inside, the model has these weights; afterwards its own ones again, also after an error."""
    own = copied(model.state_dict())
    try:
        model.load_state_dict(dict(weights))
        yield
    finally:
        model.load_state_dict(own)
