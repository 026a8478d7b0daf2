"""The training loop, and the state that its checkpoints keep: a resumed run takes the steps it would have taken."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput
from gnomon.core.files import sync_file, write_atomic
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.serialize import from_plain, to_plain
from gnomon.train.batch import Batch
from gnomon.train.checkpoint import (
    Checkpoint,
    optimiser_state,
    optimiser_tensors,
    read_checkpoint,
    require_same_data,
    write_checkpoint,
)
from gnomon.train.contracts import Model
from gnomon.train.data.batches import StreamState
from gnomon.train.distributed import (
    BatchAcrossRanks,
    any_rank,
    average_gradients,
    broadcast_from_first,
    on_first_rank,
    own_shard,
    rank,
    rank_count,
    seed_step,
)
from gnomon.train.evaluation import evaluate_set
from gnomon.train.grad_cache import RandomState, capture_random_state, set_random_state
from gnomon.train.optim import (
    LearningRateSchedule,
    adamw,
    copy_weights,
    interpolate,
    temporary_weights,
    update_average,
    warm_decay,
)
from gnomon.train.prepare import TrainingSetup
from gnomon.train.report.embedding_map import MAP_FILE, MapRecorder
from gnomon.train.report.results import LOG, End, read_log
from gnomon.train.step import StepSettings, TrainingDiverged, run_step


@dataclass(frozen=True)
class TrainingState:
    """What is counted along a run, kept with each checkpoint.

    `stream` is where the next batch comes from, `seconds` the time spent in steps. `evaluations` are
    (step, figure) of the dev sets, `best` the step of the best one (-1: none yet). `alone` counts examples of
    batches of one document, from which nothing is learned.
    """

    step: int = 0
    stream: StreamState = field(default_factory=StreamState)
    examples: int = 0
    seconds: float = 0.0
    evaluations: tuple[tuple[int, float], ...] = ()
    best: int = -1
    end: End | None = None
    alone: int = 0

    @property
    def best_value(self) -> float:
        """The best evaluation's figure; NaN is no figure."""
        return max((value for _, value in self.evaluations if not math.isnan(value)), default=-math.inf)

    def unused(self, examples: int) -> int:
        """How many of an epoch's examples no step used: in whole epochs, or up to here in the first."""
        epochs = max(self.stream.epoch, 1)
        return max(0, examples - self.examples // epochs)

    @property
    def since_best(self) -> int:
        """Evaluations after the best one."""
        return sum(step > self.best for step, _ in self.evaluations)


class Loop:
    """Runs the steps of a setup and keeps its checkpoints, log and embedding map in `folder`."""

    def __init__(
        self,
        setup: TrainingSetup,
        folder: Path,
        *,
        progress: ProgressCallback,
        stop: Callable[[], bool],
    ) -> None:
        self._setup, self._folder, self._progress, self._stop = setup, folder, progress, stop
        optim = setup.recipe.optim
        self.steps = min(setup.batches.count(optim.epochs), optim.steps or math.inf)
        self._schedule = LearningRateSchedule(int(self.steps), int(optim.warmup * self.steps), optim.schedule)
        self._optimiser = adamw((setup.model, setup.loss), lr=optim.lr, weight_decay=optim.weight_decay)
        self._step_settings = StepSettings(optim.chunk, optim.chunk_tokens, precision=setup.precision)
        self._across = BatchAcrossRanks.now(in_batch=setup.recipe.objective.uses_batch)
        self._device = next(iter(setup.model.parameters())).device
        self._start = copy_weights(setup.model.state_dict()) if optim.average is not None else {}
        self._ema = copy_weights(setup.model.state_dict()) if optim.ema is not None else {}
        self._best: dict[str, Tensor] = {}
        tracked = setup.tracked if rank() == 0 else None
        self._recorder = MapRecorder(tracked, folder / MAP_FILE, precision=setup.precision)
        self.state = TrainingState()
        torch.manual_seed(optim.seed)

    def resume(self) -> bool:
        """Continue from the newest checkpoint. Returns whether there is one."""
        found = on_first_rank(lambda: read_checkpoint(self._folder / "checkpoints"))
        if found is None:
            self._cut_log(0)
            return False
        require_same_data(found.plain["digests"], self._setup.digests)
        setup = self._setup
        setup.model.load_state_dict(found.part("model"))
        if isinstance(setup.loss, torch.nn.Module):
            setup.loss.load_state_dict(found.part("loss"))
        state = optimiser_state(self._optimiser.state_dict(), found.part("optimiser"))
        self._optimiser.load_state_dict(state)
        self._ema, self._best, self._start = (
            {name: tensor.to(self._device) for name, tensor in found.part(own).items()}
            for own in ("ema", "best", "start")
        )
        random = found.part("random")
        set_random_state(RandomState(self._device, random["cpu"], random.get("cuda")))
        self.state = from_plain(TrainingState, found.plain["state"])
        self._cut_log(self.state.step)
        self._recorder.rewind(self.state.step)
        return True

    def run(self) -> End:
        """Train to the end, or until `stop` returns True after a step. Raises TrainingDiverged."""
        setup, recipe = self._setup, self._setup.recipe
        setup.model.train()
        broadcast_from_first(setup.model.state_dict().values())
        if self.state.step == 0:
            self._recorder.record(setup.model, 0, of=int(self.steps), weights=self._ema)
            self.save_checkpoint()
        while self.state.end is None and self.state.step < self.steps:
            epoch, start = self.state.stream.epoch, self.state
            for batch, after in setup.batches.epoch(self.state.stream):
                # What a source's end leaves may be too little for all ranks.
                if stepped := len(batch.queries) >= rank_count():
                    self._step(batch, after)
                    self._recorder.record(setup.model, self.state.step, of=int(self.steps), weights=self._ema)
                else:
                    self.state = replace(self.state, stream=after)
                step, ended = self.state.step, after.epoch != epoch
                if _due(step, recipe.dev.every, stepped, ended=ended) or step >= self.steps:
                    self._evaluate()
                if _due(step, recipe.output.checkpoint_every, stepped, ended=ended):
                    self.save_checkpoint()
                if any_rank(self._stop(), self._device):
                    self.save_checkpoint()
                    return "interrupted"
                if self.state.end is not None or self.state.step >= self.steps:
                    break
            if self.state.step == start.step and not start.stream.position:
                raise InvalidInput(
                    f"no batch of {rank_count()} examples in a whole epoch, for {rank_count()} processes",
                    expected="at least one example for each process in a batch",
                    hint="set a larger batch_size in [optim], or start fewer processes",
                )
        if self.state.end is None:
            self.state = replace(self.state, end="done")
        self.save_checkpoint()
        return self.state.end or "done"

    def finish(self) -> None:
        """Give the model its final weights: the best evaluation's, the running mean, or a mean with the start."""
        model, optim = self._setup.model, self._setup.recipe.optim
        if self._best:
            model.load_state_dict(self._best)
        elif self._ema:
            model.load_state_dict(self._ema)
        if optim.average is not None:
            model.load_state_dict(interpolate(self._start, copy_weights(model.state_dict()), optim.average))
        model.eval()
        self._recorder.record_final(model, self.state.best if self._best else self.state.step)

    def _step(self, batch: Batch, after: StreamState) -> None:
        setup, optim, before = self._setup, self._setup.recipe.optim, self.state
        # The first step of a warm-up has a share of it, and the last step of the run is not for nothing.
        share = self._schedule.share(before.step + (before.step < self._schedule.warmup))
        for group in self._optimiser.param_groups:
            group["lr"] = optim.lr * share
        started = time.monotonic()
        self._optimiser.zero_grad(set_to_none=True)
        if self._across is not None:
            seed_step(optim.seed, before.step)
        done = run_step(setup.learner, setup.loss, own_shard(batch), settings=self._step_settings, across=self._across)
        everything = [p for group in self._optimiser.param_groups for p in group["params"]]
        if self._across is not None:
            average_gradients(everything)
        norm = float(torch.nn.utils.clip_grad_norm_(everything, optim.clip or math.inf))
        if not math.isfinite(norm):
            raise TrainingDiverged(
                f"the gradient's norm is {norm} at step {before.step}: {', '.join(batch.ids[:20])}",
                expected="a finite gradient",
                hint="the last good checkpoint is kept: continue from it with a lower learning rate, or "
                "precision float32; look at these examples",
            )
        self._optimiser.step()
        if self._ema:
            decay = warm_decay(optim.ema or 0.0, before.step)
            self._ema = update_average(self._ema, setup.model.state_dict(), decay)
        taken = time.monotonic() - started
        self.state = replace(
            before,
            step=before.step + 1,
            stream=after,
            examples=before.examples + len(batch.queries),
            alone=before.alone + (len(batch.queries) if len(batch.documents) == 1 else 0),
            seconds=before.seconds + taken,
        )
        self._log(loss=done.loss, lr=optim.lr * share, norm=norm, tokens=done.tokens, seconds=taken)
        metrics = {
            "loss": done.loss,
            "lr": optim.lr * share,
            "examples/s": self.state.examples / self.state.seconds,
            **({"alone": float(self.state.alone)} if self.state.alone else {}),
            **({"dev": before.evaluations[-1][1]} if before.evaluations else {}),
        }
        self._progress(Progress("training", self.state.step, int(self.steps), "step", metrics=metrics))

    def _evaluate(self) -> None:
        """Evaluate on the dev sets and keep the best weights; without a better one for too long the run ends."""
        setup, dev = self._setup, self._setup.recipe.dev
        if not setup.dev:
            return
        step = self.state.step
        self._progress(Progress("evaluating", step, int(self.steps)))
        weights = self._ema or copy_weights(setup.model.state_dict())
        with temporary_weights(setup.model, weights):
            found = on_first_rank(lambda: self._figures(setup.model))
        value = sum(found.values()) / len(found)
        if value > self.state.best_value:
            self._best = copy_weights(weights)
            self.state = replace(self.state, best=step)
        self.state = replace(self.state, evaluations=(*self.state.evaluations, (step, value)))
        self._log(dev=found, mean=value)
        if dev.patience and self.state.since_best >= dev.patience:
            self.state = replace(self.state, end="early")

    def _figures(self, model: Model) -> dict[str, float]:
        dev, sets = self._setup.recipe.dev, self._setup.dev
        smaller = [one.smaller(dev.corpus) for one in sets]
        return {
            one.name: evaluate_set(model, one, dev.metric, precision=self._setup.precision).value for one in smaller
        }

    def save_checkpoint(self) -> None:
        """Write a checkpoint."""
        if rank() != 0:
            return
        setup, random = self._setup, capture_random_state(self._device)
        loss = setup.loss.state_dict() if isinstance(setup.loss, torch.nn.Module) else {}
        sets: dict[str, Mapping[str, Tensor]] = {
            "model": setup.model.state_dict(),
            "loss": loss,
            "optimiser": optimiser_tensors(self._optimiser.state_dict()),
            "ema": self._ema,
            "best": self._best,
            "start": self._start,
            "random": {"cpu": random.cpu, **({} if random.cuda is None else {"cuda": random.cuda})},
        }
        tensors = {f"{part}/{name}": t for part, own in sets.items() for name, t in own.items()}
        plain = {"state": to_plain(self.state), "digests": dict(setup.digests)}
        keep = setup.recipe.output.keep
        if (log := self._folder / LOG).is_file():
            sync_file(log)  # a checkpoint promises the log up to its step
        write_checkpoint(self._folder / "checkpoints", Checkpoint(self.state.step, tensors, plain), keep=keep)

    def _log(self, **row: Any) -> None:
        if rank() != 0:
            return
        with (self._folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.state.step, **row}) + "\n")

    def _cut_log(self, step: int) -> None:
        """Drop lines of steps after the checkpoint: these steps are taken, and logged, again."""
        path = self._folder / LOG
        if rank() == 0 and path.is_file():
            kept = [row for row in read_log(path) if row["step"] <= step]
            write_atomic(path, "".join(json.dumps(row) + "\n" for row in kept))


def _due(step: int, every: int, stepped: bool, *, ended: bool) -> bool:
    return stepped and step % every == 0 if every else ended
