"""What training does to a few texts, seen: their vectors at some steps of a run, kept in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float
from torch import Tensor

from gnomon.core.contracts import Role
from gnomon.core.similarity import normalise
from gnomon.kernels.alignment import alignment, uniformity
from gnomon.train.averaging import in_place_of
from gnomon.train.contracts import Embedder, Model, Reps
from gnomon.train.evaluation import embedded
from gnomon.train.grad_cache import Precision
from gnomon.train.report.tracked_texts import Followed

FILE = "seen.npz"
STAGES = 8
"""How often a run is looked at after its start, the end included."""


@dataclass(frozen=True, eq=False)
class Seen:
    """Vectors of unit length of what was followed, a stage after another, at these steps.

    Where `ended`, the last stage is the model that was kept, which may be that of an earlier step.
    """

    followed: Followed
    steps: tuple[int, ...]
    queries: Float[np.ndarray, "stages queries dim"]
    documents: Float[np.ndarray, "stages documents dim"]
    ended: bool = False

    def curve(self) -> list[tuple[int, float, float]]:
        """Step, alignment and uniformity of each stage: the mean uniformity of the pairs' two sides."""
        pairs = np.array(self.followed.pairs, dtype=np.int64).reshape(-1, 2)
        # A query with several documents, or the other way round, counts once.
        asked, found = np.unique(pairs[:, 0]), np.unique(pairs[:, 1])
        return [
            (
                step,
                alignment(queries[pairs[:, 0]], documents[pairs[:, 1]]),
                (uniformity(queries[asked]) + uniformity(documents[found])) / 2,
            )
            for step, queries, documents in zip(self.steps, self.queries, self.documents, strict=True)
        ]

    def cosines(self, stage: int) -> tuple[float, float]:
        """The anchors' mean cosines at a stage, to their positives and to their negatives."""
        queries, documents = self.queries[stage], self.documents[stage]
        near = [queries[a.query] @ documents[d] for a in self.followed.anchors for d in a.positives]
        far = [queries[a.query] @ documents[d] for a in self.followed.anchors for d in a.negatives]
        return float(np.mean(near)), float(np.mean(far)) if far else float("nan")


class Watch:
    """Looks at what is followed, and keeps what it saw in `path`. With nothing to follow it does nothing.

    It draws no random number and leaves the model as it was.
    """

    def __init__(self, followed: Followed | None, path: Path, *, precision: Precision = "float32") -> None:
        self._followed, self._path, self._precision = followed, path, precision
        self._seen: Seen | None = None

    def back_to(self, step: int) -> None:
        """Go on after a resume: what was seen up to this step stays."""
        before = read_seen(self._path)
        if self._followed is None or before is None or before.followed != self._followed:
            return
        count = len(before.steps) - before.ended
        kept = [at for at in range(count) if before.steps[at] <= step]
        steps = tuple(before.steps[at] for at in kept)
        self._seen = Seen(self._followed, steps, before.queries[kept], before.documents[kept])

    def see(self, model: Model, step: int, *, of: int, weights: Mapping[str, Tensor]) -> None:
        """Look at step 0, and at `STAGES` steps spread over `of`; with these weights, if any."""
        if self._followed is None or not due(step, of):
            return
        if step == 0:
            self._seen = None
        if weights:
            with in_place_of(model, dict(weights)):
                self._add(self._followed, model, step)
        else:
            self._add(self._followed, model, step)

    def end(self, model: Model, step: int) -> None:
        """Look at the model that is kept, whose weights are those of `step`."""
        if self._followed is not None:
            self._add(self._followed, model, step, ended=True)

    def _add(self, followed: Followed, model: Model, step: int, *, ended: bool = False) -> None:
        queries = vectors(model, followed.queries, "query", self._precision)[None]
        documents = vectors(model, followed.documents, "document", self._precision)[None]
        now = Seen(followed, (step,), queries, documents, ended)
        self._seen = now if self._seen is None else _joined(self._seen, now)
        write_seen(self._seen, self._path)


def due(step: int, of: int) -> bool:
    """Whether this step is one of those that are looked at.

    >>> [step for step in range(101) if due(step, 100)]
    [0, 13, 25, 38, 50, 63, 75, 88, 100]
    """
    return step == 0 or step * STAGES // of > (step - 1) * STAGES // of


def vectors(
    model: Embedder, texts: Sequence[str], role: Role, precision: Precision = "float32"
) -> Float[np.ndarray, "texts dim"]:
    """The texts' vectors in eval(), of unit length; of late interaction, the mean of each text's tokens."""
    module: Any = model
    was = module.training
    module.eval()
    try:
        found = _flat(embedded(model, texts, role, precision))
    finally:
        module.train(was)
    return normalise(found.cpu().numpy().astype(np.float64), allow_zero=True).astype(np.float32)


def _flat(reps: Reps) -> Tensor:
    if reps.mask is None:
        return reps.values
    mask = reps.mask[..., None].to(reps.values.dtype)
    return (reps.values * mask).sum(1) / mask.sum(1).clamp(min=1)


def _joined(before: Seen, now: Seen) -> Seen:
    """One after the other; an end that was seen before is seen anew."""
    count = len(before.steps) - before.ended
    return replace(
        now,
        steps=(*before.steps[:count], *now.steps),
        queries=np.concatenate([before.queries[:count], now.queries]),
        documents=np.concatenate([before.documents[:count], now.documents]),
    )


def write_seen(seen: Seen, path: Path) -> None:
    """One file, written beside and renamed."""
    beside = path.with_name(f"{path.name}.new")
    told = json.dumps({"followed": asdict(seen.followed), "steps": seen.steps, "ended": seen.ended})
    with beside.open("wb") as file:
        np.savez(file, queries=seen.queries, documents=seen.documents, told=np.array(told))
    beside.replace(path)


def read_seen(path: Path) -> Seen | None:
    """What was seen; None where there is no such file, or none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as held:
            told = json.loads(str(held["told"]))
            queries, documents = held["queries"], held["documents"]
        followed = Followed.from_json(told["followed"])
        return Seen(followed, tuple(told["steps"]), queries, documents, told["ended"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
