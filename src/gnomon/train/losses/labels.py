"""The cells of a label matrix: which are known, whether a loss can take them, means over them."""

from __future__ import annotations

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput


def known(labels: Tensor) -> Tensor:
    """Where something is known, as a boolean matrix: a NaN label says that nothing is."""
    return ~torch.isnan(labels)


def cleaned(scores: Tensor, labels: Tensor) -> Tensor:
    """The scores with 0 in unknown cells: NaN there would become a gradient of NaN where 0 is due."""
    return torch.where(known(labels), scores, 0.0)


def require_binary(labels: Tensor, loss: str) -> None:
    """Raise InvalidInput unless each known label is 0 or 1."""
    _require(labels, ~((labels == 0) | (labels == 1)), loss, expected="labels 0 (negative) or 1 (positive)")


def require_within(labels: Tensor, low: float, high: float, *, loss: str) -> None:
    """Raise InvalidInput unless each known label is finite and in [low, high]."""
    wanted = f"labels in [{low:g}, {high:g}]" if low > -float("inf") else "finite labels"
    _require(labels, (labels < low) | (labels > high) | torch.isinf(labels), loss, expected=wanted)


def _require(labels: Tensor, wrong: Tensor, loss: str, *, expected: str) -> None:
    wrong = wrong & known(labels)
    if wrong.any():
        row, column = (int(at) for at in wrong.nonzero()[0])
        raise InvalidInput(
            f"a label {float(labels[row, column]):g} (query {row}, document {column} of its batch) "
            f"for the loss {loss!r}",
            expected=f"{expected}, or NaN where nothing is known",
            hint="bring the labels into this range, choose a loss that takes them, or, where the column is no label, "
            'leave it out: columns = {label = ""} for that source',
        )


def require_positive(value: float, name: str) -> None:
    """Raise InvalidInput unless the setting is a finite number above 0."""
    if not 0 < value < float("inf"):
        raise InvalidInput(f"{name} = {value}", expected="a finite number above 0")


def mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of the values in these cells; 0 where there are none, from which nothing is learned.

    What stands in the other cells, NaN included, has no part in it and no gradient.
    """
    return torch.where(where, values, 0.0).sum() / where.sum().clamp(min=1)


def mean_per_row(values: Tensor, where: Tensor) -> Tensor:
    """[rows]: the mean of each row's values in these cells; 0 for a row without any."""
    return torch.where(where, values, 0.0).sum(1) / where.sum(1).clamp(min=1)
