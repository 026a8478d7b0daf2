"""The steps of a run, and the state that a checkpoint keeps: what comes after it is what would have come."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gnomon.core.errors import InvalidInput
from gnomon.train.averaging import averaged, between, copied, in_place_of, warm_decay
from gnomon.train.batch import Batch
from gnomon.train.checkpoint import (
    Checkpoint,
    optimiser_state,
    optimiser_tensors,
    read_checkpoint,
    require_data,
    write_checkpoint,
)
from gnomon.train.contracts import Model
from gnomon.train.data.batches import Place
from gnomon.train.distributed import (
    Across,
    agree,
    any_rank,
    average_gradients,
    by_first,
    own_part,
    rank,
    rank_count,
    seed_step,
)
from gnomon.train.evaluation import look
from gnomon.train.grad_cache import RandomState, captured, resume
from gnomon.train.prepare import Parts
from gnomon.train.progress import End, FitProgress, Standing
from gnomon.train.report.embedding_map import FILE, Watch
from gnomon.train.schedule import Schedule
from gnomon.train.step import StepSettings, TrainingDiverged, run_step

LOG = "log.jsonl"


class Loop:
    """Runs the steps of `parts` and keeps their state in `folder`."""

    def __init__(
        self,
        parts: Parts,
        folder: Path,
        *,
        tell: Callable[[FitProgress], None],
        stop: Callable[[], bool],
    ) -> None:
        self._parts, self._folder, self._tell, self._stop = parts, folder, tell, stop
        optim = parts.recipe.optim
        self.steps = min(optim.epochs * parts.batches.about, optim.steps or math.inf)
        self._schedule = Schedule(int(self.steps), int(optim.warmup * self.steps), optim.schedule)
        self._optimiser = _optimiser(parts)
        self._step = StepSettings(optim.chunk, optim.chunk_tokens, precision=parts.precision)
        self._across = Across.now(in_batch=parts.recipe.objective.uses_batch)
        self._device = next(iter(parts.model.parameters())).device
        self._start = copied(parts.model.state_dict()) if optim.average is not None else {}
        self._ema = copied(parts.model.state_dict()) if optim.ema is not None else {}
        self._best: dict[str, Tensor] = {}
        followed = parts.followed if rank() == 0 else None
        self._watch = Watch(followed, folder / FILE, precision=parts.precision)
        self.standing = Standing()
        torch.manual_seed(optim.seed)

    def resumed(self) -> bool:
        """Go on from the newest checkpoint, if there is one."""
        found = by_first(lambda: read_checkpoint(self._folder / "checkpoints"))
        if found is None:
            self._cut_log(0)
            return False
        require_data(found.plain["digests"], self._parts.digests)
        parts = self._parts
        parts.model.load_state_dict(found.part("model"))
        if isinstance(parts.objective, torch.nn.Module):
            parts.objective.load_state_dict(found.part("objective"))
        state = optimiser_state(self._optimiser.state_dict(), found.part("optimiser"))
        self._optimiser.load_state_dict(state)
        self._ema, self._best, self._start = (
            {name: tensor.to(self._device) for name, tensor in found.part(own).items()}
            for own in ("ema", "best", "start")
        )
        random = found.part("random")
        resume(RandomState(self._device, random["cpu"], random.get("cuda")))
        self.standing = Standing.from_json(found.plain["standing"])
        self._cut_log(self.standing.step)
        self._watch.back_to(self.standing.step)
        return True

    def run(self) -> End:
        """Train to the end, or until `stop` says so after a step. Raises TrainingDiverged."""
        parts, recipe = self._parts, self._parts.recipe
        parts.model.train()
        agree(parts.model.state_dict().values())
        if self.standing.step == 0:
            self._watch.see(parts.model, 0, of=int(self.steps), weights=self._ema)
            self.keep()
        while self.standing.end is None and self.standing.step < self.steps:
            epoch, begun = self.standing.place.epoch, self.standing
            for batch, after in parts.batches.epoch(self.standing.place):
                # What a source's end leaves may be too little for all ranks.
                if stepped := len(batch.queries) >= rank_count():
                    self._one(batch, after)
                    self._watch.see(parts.model, self.standing.step, of=int(self.steps), weights=self._ema)
                else:
                    self.standing = replace(self.standing, place=after)
                step, ended = self.standing.step, after.epoch != epoch
                if _due(step, recipe.dev.every, stepped, ended) or step >= self.steps:
                    self._look()
                if _due(step, recipe.output.checkpoint_every, stepped, ended):
                    self.keep()
                if any_rank(self._stop(), self._device):
                    self.keep()
                    return "interrupted"
                if self.standing.end is not None or self.standing.step >= self.steps:
                    break
            if self.standing.step == begun.step and not begun.place.position:
                raise InvalidInput(
                    f"no batch of {rank_count()} examples in a whole epoch, for {rank_count()} processes",
                    expected="at least one example for each process in a batch",
                    hint="set a larger batch_size in [optim], or start fewer processes",
                )
        if self.standing.end is None:
            self.standing = replace(self.standing, end="done")
        self.keep()
        return self.standing.end or "done"

    def finish(self) -> None:
        """Give the model the weights that the run is for: the best look's, the running mean, or between."""
        model, optim = self._parts.model, self._parts.recipe.optim
        if self._best:
            model.load_state_dict(self._best)
        elif self._ema:
            model.load_state_dict(self._ema)
        if optim.average is not None:
            model.load_state_dict(between(self._start, copied(model.state_dict()), optim.average))
        model.eval()
        self._watch.end(model, self.standing.best if self._best else self.standing.step)

    def _one(self, batch: Batch, after: Place) -> None:
        parts, optim, before = self._parts, self._parts.recipe.optim, self.standing
        # The first step of a warm-up has a share of it, and the last step of the run is not for nothing.
        share = self._schedule.share(before.step + (before.step < self._schedule.warmup))
        for group in self._optimiser.param_groups:
            group["lr"] = optim.lr * share
        started = time.monotonic()
        self._optimiser.zero_grad(set_to_none=True)
        if self._across is not None:
            seed_step(optim.seed, before.step)
        done = run_step(parts.learner, parts.objective, own_part(batch), self._step, self._across)
        everything = [p for group in self._optimiser.param_groups for p in group["params"]]
        if self._across is not None:
            average_gradients(everything)
        norm = float(torch.nn.utils.clip_grad_norm_(everything, optim.clip or math.inf))
        if not math.isfinite(norm):
            raise TrainingDiverged(
                f"the gradient's norm is {norm} at step {before.step}: {', '.join(batch.ids[:20])}",
                expected="a finite gradient",
                hint="the last good checkpoint is kept: go on from it with a lower learning rate, or "
                "precision float32; look at these examples",
            )
        self._optimiser.step()
        if self._ema:
            decay = warm_decay(optim.ema or 0.0, before.step)
            self._ema = averaged(self._ema, parts.model.state_dict(), decay)
        taken = time.monotonic() - started
        self.standing = replace(
            before,
            step=before.step + 1,
            place=after,
            examples=before.examples + len(batch.queries),
            seconds=before.seconds + taken,
        )
        self._log(loss=done.loss, lr=optim.lr * share, norm=norm, tokens=done.tokens, seconds=taken)
        dev = before.looks[-1][1] if before.looks else None
        speed = self.standing.examples / self.standing.seconds
        self._tell(
            FitProgress("training", self.standing.step, int(self.steps), done.loss, optim.lr * share, speed, dev)
        )

    def _look(self) -> None:
        """A look at the dev sets; the best weights are kept. Too many looks without better ones: the end."""
        parts, dev = self._parts, self._parts.recipe.dev
        if not parts.dev:
            return
        step = self.standing.step
        self._tell(FitProgress("looking", step, int(self.steps)))
        weights = self._ema or copied(parts.model.state_dict())
        with in_place_of(parts.model, weights):
            found = by_first(lambda: self._found(parts.model))
        value = sum(found.values()) / len(found)
        if value > self.standing.best_value:
            self._best = copied(weights)
            self.standing = replace(self.standing, best=step)
        self.standing = replace(self.standing, looks=(*self.standing.looks, (step, value)))
        self._log(dev=found, mean=value)
        if dev.patience and self.standing.since_best >= dev.patience:
            self.standing = replace(self.standing, end="early")

    def _found(self, model: Model) -> dict[str, float]:
        dev, sets = self._parts.recipe.dev, self._parts.dev
        smaller = [one.smaller(dev.corpus) for one in sets]
        return {one.name: look(model, one, dev.metric, precision=self._parts.precision).value for one in smaller}

    def keep(self) -> None:
        """Write a checkpoint."""
        if rank() != 0:
            return
        parts, random = self._parts, captured(self._device)
        aim = parts.objective.state_dict() if isinstance(parts.objective, torch.nn.Module) else {}
        sets: dict[str, Mapping[str, Tensor]] = {
            "model": parts.model.state_dict(),
            "objective": aim,
            "optimiser": optimiser_tensors(self._optimiser.state_dict()),
            "ema": self._ema,
            "best": self._best,
            "start": self._start,
            "random": {"cpu": random.cpu, **({} if random.cuda is None else {"cuda": random.cuda})},
        }
        tensors = {f"{part}/{name}": t for part, own in sets.items() for name, t in own.items()}
        plain = {"standing": self.standing.to_json(), "digests": dict(parts.digests)}
        keep = parts.recipe.output.keep
        if (log := self._folder / LOG).is_file():
            with log.open("rb") as file:
                os.fsync(file.fileno())  # a checkpoint promises the log up to its step
        write_checkpoint(self._folder / "checkpoints", Checkpoint(self.standing.step, tensors, plain), keep=keep)

    def _log(self, **row: Any) -> None:
        if rank() != 0:
            return
        with (self._folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.standing.step, **row}) + "\n")

    def _cut_log(self, step: int) -> None:
        """Lines of steps that the checkpoint knows nothing of are written again by the steps themselves."""
        path = self._folder / LOG
        if rank() == 0 and path.is_file():
            kept = [row for row in read_log(path) if row["step"] <= step]
            beside = path.with_suffix(".new")
            beside.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
            beside.replace(path)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; a last line that was cut off is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def _due(step: int, every: int, stepped: bool, ended: bool) -> bool:
    return stepped and step % every == 0 if every else ended


def _optimiser(parts: Parts) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101); no decay of biases, norms and what is learned
    by the objective: they have one dimension.
    """
    optim = parts.recipe.optim
    trained = [p for p in parts.model.parameters() if p.requires_grad]
    trained += [p for p in parts.objective.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": optim.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=optim.lr, fused=True)
