"""How far a training run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WordStep:
    """`done` of `whole` words (GloVe: co-occurrences) in epoch `epoch` of `epochs`, counted from 1.

    `loss` is the mean loss of the epoch so far, where the method knows it.
    """

    epoch: int
    epochs: int
    done: int
    whole: int
    loss: float | None = None


Progress = Callable[[WordStep], None]


def silent(_: WordStep) -> None:
    """Say nothing."""
