"""Several processes on one run: what each does of a batch, and what the first does for all."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.train.batch import Batch

T = TypeVar("T")
_PATIENCE = timedelta(hours=12)
"""How long ranks wait for one another: the first looks at whole corpora alone."""


@contextmanager
def joined_ranks() -> Iterator[None]:
    """Inside, the processes that `torchrun` or `accelerate launch` started know of each other.

    They are told by WORLD_SIZE; alone, or where torch.distributed runs already, nothing is done.
    """
    wanted = int(os.environ.get("WORLD_SIZE", "1")) > 1 and dist.is_available()
    if not wanted or dist.is_initialized():
        yield
        return
    # Its functions name the default group in their signatures: imported later, as by an optimizer's first
    # step, it would keep the group and its threads until the interpreter is gone, and they crash then.
    importlib.import_module("torch.distributed.nn")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank_count() -> int:
    """How many processes work on the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is; the first is 0."""
    return dist.get_rank() if rank_count() > 1 else 0


def by_first(work: Callable[[], T]) -> T:
    """What the first rank's work gives, on every rank. An error of gnomon is raised on every rank.

    The others wait meanwhile; alone, it is a call.
    """
    if rank_count() == 1:
        return work()
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = work()
        except GnomonError as error:
            dist.broadcast_object_list([None, (error.came, error.wanted, error.next_step)])
            raise
    dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        came, wanted, next_step = outcome[1]
        raise GnomonError(f"the first process: {came}", wanted=wanted, next_step=next_step)
    found: T = outcome[0]
    return found


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any rank."""
    if rank_count() == 1:
        return flag
    told = torch.tensor([int(flag)], device=device)
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told.item())


def agree(tensors: Iterable[Tensor]) -> None:
    """Give every rank the first one's values."""
    if rank_count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.data, 0)


def seed_step(seed: int, step: int) -> None:
    """Random numbers of this step and rank: of several ranks, no checkpoint has to keep their states."""
    torch.manual_seed(((seed * 1_000_003 + step) * 4096 + rank()) % 2**63)


def own_part(batch: Batch) -> Batch:
    """This rank's part; the whole batch where the process is alone."""
    return batch if rank_count() == 1 else part_of(batch, rank(), rank_count())


def part_of(batch: Batch, rank: int, ranks: int) -> Batch:
    """The stretch of a rank: some queries with their documents. Raises InvalidInput for fewer than ranks."""
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
