"""One rank of a step of two, for test_distributed: python two_ranks.py RANK PORT FOLDER."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from gnomon.train.batch import Batch, Example
from gnomon.train.distributed import BatchAcrossRanks, average_gradients
from gnomon.train.losses import CoSENT, InfoNCE, Matryoshka
from gnomon.train.step import StepSettings, run_step
from support.training_models import ToyEmbedder, ToyScorer

EXAMPLES = (
    (
        Example("a bb ccc", ("dddd a", "bb bb bb"), (1.0, 0.0), id="0:0"),
        Example("eeeee ff", ("ggg hhhhhhh iiiiiiii a",), (1.0,), id="0:1"),
        Example("jjjjjjjjj", ("kkkkkkkkkk llllllllll a bb ccc dddd eeeee",), (1.0,), id="0:2"),
    ),
    (
        # Its document is right for the first rank's first query too; and more words than any there.
        Example("mm nnn", ("dddd a", "oooo ppppp qqqqqq rrrrrrr", "s"), (1.0, 0.0, 0.0), id="1:0"),
        Example("a bb ccc", ("t uu vvv wwww xxxxx yyyyyy zzzzzzz a bb ccc dddd eeeee ffffff",), (1.0,), id="1:1"),
    ),
)
CACHED = StepSettings(chunk_items=2)
CASES: dict[str, tuple[Any, Any, StepSettings, bool]] = {
    "bi": (ToyEmbedder, lambda: InfoNCE(learned=True), StepSettings(), True),
    "bi, cached": (ToyEmbedder, lambda: InfoNCE(direction="both", learned=True), CACHED, True),
    "bi, judged only": (ToyEmbedder, CoSENT, CACHED, False),
    "late": (lambda **o: ToyEmbedder(late=True, **o), InfoNCE, StepSettings(), True),
    "late, cached": (
        lambda **o: ToyEmbedder(late=True, **o),
        lambda: Matryoshka(InfoNCE(), [None, 3]),
        CACHED,
        True,
    ),
    "cross": (ToyScorer, CoSENT, CACHED, False),
}


def step(case: str, batch: Batch, across: BatchAcrossRanks | None) -> dict[str, torch.Tensor]:
    """The loss and the gradients of one step."""
    model, objective, settings, _ = CASES[case]
    model, objective = model(dropout=0.0), objective()
    report = run_step(model, objective, batch, settings=settings, across=across)
    parameters = {**dict(model.named_parameters()), **dict(objective.named_parameters())}
    if across is not None:
        average_gradients(parameters.values(), bucket=50)
    found = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    return {**found, "loss": torch.tensor(report.loss)}


def idle(rank: int) -> dict[str, torch.Tensor]:
    """Means of gradients that not every rank has."""
    both, one, none = (torch.nn.Parameter(torch.zeros(3)) for _ in range(3))
    both.grad = torch.full((3,), float(rank))
    if rank == 1:
        one.grad = torch.full((3,), 4.0)
    average_gradients([both, one, none])
    assert none.grad is None
    return {"both": both.grad, "one": one.grad}


def main() -> None:
    rank, port, folder = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", timedelta(seconds=60), world_size=2, rank=rank)
    try:
        found = {"idle": idle(rank)}
        for case, (_, _, _, in_batch) in CASES.items():
            batch = Batch.of(EXAMPLES[rank], in_batch=in_batch)
            found[case] = step(case, batch, BatchAcrossRanks.now(in_batch=in_batch))
        torch.save(found, folder / f"{rank}.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
