"""Rows of token ids to one rectangle, and which of its places are real."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput


def padded(
    rows: Sequence[Tensor], fill: int, device: torch.device, *, at_least: int = 0
) -> tuple[Tensor, Tensor | None]:
    """Ids [rows, longest] and a boolean mask of the real ones; None where no row was padded.

    Without a mask attention takes its fastest path. Raises InvalidInput for no rows.
    """
    if not rows:
        raise InvalidInput("no texts to embed", wanted="at least one")
    lengths = [len(row) for row in rows]
    longest = max(*lengths, at_least) if at_least else max(lengths)
    if min(lengths) == longest:
        return torch.stack(tuple(rows)).to(device, non_blocking=True), None
    ids = torch.full((len(rows), longest), fill, dtype=torch.long)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = row
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    return ids.to(device, non_blocking=True), mask.to(device, non_blocking=True)
