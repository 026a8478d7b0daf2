"""What one of several processes does of a batch: each takes a stretch of the queries with their documents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import distributed as dist

from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Batch


def own_part(batch: Batch) -> Batch:
    """This rank's part; the whole batch where the process is alone."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return batch
    return part_of(batch, dist.get_rank(), dist.get_world_size())


def part_of(batch: Batch, rank: int, ranks: int) -> Batch:
    """The stretch of a rank. Raises InvalidInput for a batch of fewer queries than ranks."""
    if len(batch.queries) < ranks:
        raise InvalidInput(
            f"a batch of {len(batch.queries)} examples for {ranks} processes",
            wanted="at least one example for each",
            next_step="set drop_short = true in [data], or a larger batch_size",
        )
    rows = np.array_split(np.arange(len(batch.queries)), ranks)[rank]
    first, last = int(rows[0]), int(rows[-1]) + 1
    columns = [at for at, own in enumerate(batch.own) if first <= own < last]
    return replace(
        batch,
        queries=batch.queries[first:last],
        documents=tuple(batch.documents[at] for at in columns),
        labels=batch.labels[first:last][:, columns],
        own=tuple(batch.own[at] - first for at in columns),
        ids=batch.ids[first:last],
    )
