"""Several processes, one batch: negatives of all ranks, and the gradient of the whole batch."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch import distributed as dist

from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.train.batch import Batch
from gnomon.train.contracts import Reps

T = TypeVar("T")
_PATIENCE = timedelta(hours=12)
"""How long ranks wait for one another: the first evaluates on whole corpora alone."""


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes that `torchrun` or `accelerate launch` started into a group while the block runs.

    WORLD_SIZE says how many there are; for a lone process, or inside a group already, nothing is done.
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
    """The number of processes of the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number; the first is 0."""
    return dist.get_rank() if rank_count() > 1 else 0


def on_first_rank(work: Callable[[], T]) -> T:
    """Run `work` on the first rank and return its result on every rank. Its GnomonErrors are raised on every rank.

    The others wait for it; in a lone process it is a plain call.
    """
    if rank_count() == 1:
        return work()
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = work()
        except GnomonError as error:
            dist.broadcast_object_list([None, (error.message, error.expected, error.hint)])
            raise
    dist.broadcast_object_list(outcome)
    if outcome[1] is not None:
        came, wanted, hint = outcome[1]
        raise GnomonError(f"the first process: {came}", expected=wanted, hint=hint)
    found: T = outcome[0]
    return found


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is set on any rank."""
    if rank_count() == 1:
        return flag
    flags = torch.tensor([int(flag)], device=device)
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags.item())


def broadcast_from_first(tensors: Iterable[Tensor]) -> None:
    """Copy the first rank's values to every rank."""
    if rank_count() > 1:
        for tensor in tensors:
            dist.broadcast(tensor.data, 0)


def seed_step(seed: int, step: int) -> None:
    """Seed the generators for this step and rank, so that checkpoints need not keep every rank's state."""
    torch.manual_seed(((seed * 1_000_003 + step) * 4096 + rank()) % 2**63)


def own_shard(batch: Batch) -> Batch:
    """This rank's share of a batch; the whole batch for a lone process."""
    return batch if rank_count() == 1 else shard_of(batch, rank(), rank_count())


def shard_of(batch: Batch, rank: int, ranks: int) -> Batch:
    """A rank's share of a batch: some queries with their documents. Raises InvalidInput for too few queries."""
    if len(batch.queries) < ranks:
        raise InvalidInput(
            f"a batch of {len(batch.queries)} examples for {ranks} processes",
            expected="at least one example for each",
            hint="set drop_short = true in [data], or a larger batch_size",
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


@dataclass(frozen=True)
class BatchAcrossRanks:
    """How ranks of torch.distributed share one batch.

    `in_batch` says whether another rank's documents are negatives, as for Batch.of.
    """

    in_batch: bool

    @classmethod
    def now(cls, *, in_batch: bool) -> BatchAcrossRanks | None:
        """The settings if there are several ranks; None for a lone process."""
        several = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        return cls(in_batch) if several else None


def merge_batches(batches: Sequence[Batch], *, in_batch: bool) -> Batch:
    """The batches as one: Batch.of all their examples. Raises InvalidInput for more than one source."""
    sources = sorted({batch.source for batch in batches})
    if len(sources) > 1:
        raise InvalidInput(
            f"batches of the sources {sources} on the ranks of one step",
            expected="one source a step, whose documents may be negatives of each other",
            hint="let the ranks draw their batches from one stream",
        )
    queries = tuple(text for batch in batches for text in batch.queries)
    documents = tuple(text for batch in batches for text in batch.documents)
    first = np.cumsum([0, *(len(batch.queries) for batch in batches)])
    own = tuple(int(at + start) for batch, start in zip(batches, first, strict=False) for at in batch.own)
    labels = np.full((len(queries), len(documents)), 0.0 if in_batch else np.nan, dtype=np.float32)
    if in_batch:
        labels[_perhaps_right(queries, documents, own)] = np.nan
    column = 0
    for batch, row in zip(batches, first, strict=False):
        height, width = batch.labels.shape
        labels[row : row + height, column : column + width] = batch.labels
        column += width
    ids = tuple(name for batch in batches for name in batch.ids)
    return Batch(queries, documents, labels, own, sources[0], ids)


def _perhaps_right(
    queries: Sequence[str], documents: Sequence[str], own: Sequence[int]
) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Cells whose document may be right for the query though it came with another one, as in `Batch.of`."""
    judged: list[set[str]] = [{text} for text in queries]
    for text, at in zip(documents, own, strict=True):
        judged[at].add(text)
    cells = [
        [text in judged[row] or queries[at] == query for text, at in zip(documents, own, strict=True)]
        for row, query in enumerate(queries)
    ]
    return np.array(cells, dtype=np.bool_).reshape(len(queries), len(documents))


def gather_batch(batch: Batch, across: BatchAcrossRanks) -> Batch:
    """The batches of all ranks, in their order, as one. Raises InvalidInput as `merge_batches` does."""
    batches: list[Batch] = [batch] * dist.get_world_size()
    dist.all_gather_object(batches, batch)
    return merge_batches(batches, in_batch=across.in_batch)


def gather_reps(reps: Reps) -> Reps:
    """The representations of all ranks, in their order; those of late interaction padded to the longest.

    The gradient flows to this rank's own rows only, multiplied by the number of ranks, so that the average
    over ranks is the gradient of the whole batch; what every rank computes alike, as the gradient of a
    learned temperature, is right without that.
    """
    values = _gathered(reps.values)
    masks: Sequence[Tensor | None] = [None] * len(values)
    if reps.mask is not None:
        masks = [mask.bool() for mask in _gathered(reps.mask.to(torch.uint8))]
    parts = [Reps(*each) for each in zip(values, masks, strict=True)]
    return Reps.joined(parts, range(sum(map(len, parts))))


def gather_blocks(matrix: Tensor) -> Tensor:
    """The score matrices of all ranks along the diagonal of one, 0 elsewhere; gradients as in gather_reps."""
    return torch.block_diag(*_gathered(matrix))


def _gathered(own: Tensor) -> list[Tensor]:
    """Each rank's tensor; shapes may differ. This rank's own one keeps its graph."""
    ranks = dist.get_world_size()
    shape = torch.tensor(own.shape, device=own.device)
    shapes = [torch.empty_like(shape) for _ in range(ranks)]
    dist.all_gather(shapes, shape)
    wide = own.new_zeros(torch.stack(shapes).amax(0).tolist())
    wide[_corner(shape)] = own.detach()
    parts = [torch.empty_like(wide) for _ in range(ranks)]
    dist.all_gather(parts, wide)
    found = [part[_corner(size)] for part, size in zip(parts, shapes, strict=True)]
    if own.requires_grad:
        own = own.view_as(own)  # the hook is on a view: the gradient of a leaf itself must not change twice
        own.register_hook(lambda gradient: gradient * ranks)
    found[dist.get_rank()] = own
    return found


def _corner(shape: Tensor) -> tuple[slice, ...]:
    return tuple(slice(size) for size in shape.tolist())


def average_gradients(parameters: Iterable[torch.nn.Parameter], bucket: int = 2**24) -> None:
    """Replace each gradient by its mean over the ranks; `bucket` numbers are sent together.

    A parameter that had no gradient on some ranks counts as 0 there; one that had none on any stays without.
    """
    wanted = [p for p in parameters if p.requires_grad]
    if not wanted:
        return
    used = torch.tensor([p.grad is not None for p in wanted], dtype=torch.int32, device=wanted[0].device)
    dist.all_reduce(used, dist.ReduceOp.MAX)
    waiting: list[Tensor] = []
    for parameter in [p for p, flag in zip(wanted, used.tolist(), strict=True) if flag]:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if waiting and sum(g.numel() for g in waiting) + parameter.numel() > bucket:
            _average(waiting)
            waiting = []
        waiting.append(parameter.grad)
    if waiting:
        _average(waiting)


def _average(gradients: Sequence[Tensor]) -> None:
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
