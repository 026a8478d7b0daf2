"""Optimisation: AdamW, the learning rate over the steps, and averages of weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput

Shape = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True)
class LearningRateSchedule:
    """The share of the learning rate at each of `steps` steps.

    It rises linearly from 0 over `warmup` steps, then falls to `floor` along the shape: a line, half a cosine
    (I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017,
    arXiv:1608.03983, one period), or stays at 1 ("constant"). Raises InvalidInput for what cannot be.
    """

    steps: int
    warmup: int = 0
    shape: Shape = "linear"
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise InvalidInput(f"the schedule {self.shape!r}", expected=f"one of {', '.join(get_args(Shape))}")
        if self.steps < 1 or not 0 <= self.warmup <= self.steps:
            raise InvalidInput(
                f"{self.warmup} steps of warm-up in {self.steps} steps",
                expected="at least one step, and no more of warm-up than there are",
            )
        if not 0 <= self.floor <= 1:
            raise InvalidInput(f"floor = {self.floor}", expected="a share of the learning rate, 0 to 1")

    def share(self, step: int) -> float:
        """What the learning rate is multiplied by at this step, counted from 0; past the last, the floor.

        >>> plan = LearningRateSchedule(steps=10, warmup=2)
        >>> [round(plan.share(step), 3) for step in (0, 1, 2, 6, 10)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if step < self.warmup:
            return step / self.warmup
        if self.shape == "constant":
            return 1.0
        past = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        left = 1 - past if self.shape == "linear" else (1 + math.cos(math.pi * past)) / 2
        return self.floor + (1 - self.floor) * left


def adamw(modules: Iterable[Any], *, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) over the modules' trainable parameters.

    No decay of those with one dimension: biases, norms, and what a loss learns.
    """
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, fused=True)


Weights = Mapping[str, Tensor]
"""A state dict: tensors by name."""


def copy_weights(weights: Weights) -> dict[str, Tensor]:
    """Copies of weights, which training does not change."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


def update_average(average: Weights, weights: Weights, decay: float) -> dict[str, Tensor]:
    """The exponential moving average after one more step: decay * average + (1 - decay) * weights.

    Whole numbers, as positions, are taken from the weights. B. Polyak, A. Juditsky: Acceleration of
    Stochastic Approximation by Averaging, SIAM J. Control Optim. 30(4), 1992, doi:10.1137/0330046. Raises
    InvalidInput for weights of other names or shapes, or a decay outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise InvalidInput(f"decay = {decay}", expected="a number from 0 (no average) to below 1, as 0.999")
    return interpolate(average, weights, 1 - decay)


def warm_decay(decay: float, step: int) -> float:
    """The decay at this step, counted from 0: smaller at first, so that the initial weights are soon forgotten.

    min(decay, (1 + step) / (10 + step)), as TensorFlow's ExponentialMovingAverage has it.

    >>> [round(warm_decay(0.999, step), 3) for step in (0, 90, 100_000)]
    [0.1, 0.91, 0.999]
    """
    return min(decay, (1 + step) / (10 + step))


def interpolate(start: Weights, end: Weights, share: float) -> dict[str, Tensor]:
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
def temporary_weights(model: Any, weights: Weights) -> Iterator[None]:
    """Give the model these weights while the block runs, and its own ones back afterwards."""
    own = copy_weights(model.state_dict())
    try:
        model.load_state_dict(dict(weights))
        yield
    finally:
        model.load_state_dict(own)
