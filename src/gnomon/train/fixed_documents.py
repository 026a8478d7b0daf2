"""Training the model of queries against passages' vectors that stay as they are, and a mean with its first weights.

A query is short, and its passages are not computed again: a query costs about a fifth of a pair. The mean of
the start's weights and the trained ones keeps what the start did well elsewhere (WiSE-FT, Wortsman et al. 2022,
arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import normalise
from gnomon.train.models.backbone import BackboneSettings
from gnomon.train.models.build import LoadSettings, load_model
from gnomon.train.models.towers import TrainableBiEncoder
from gnomon.train.optim import LearningRateSchedule, Weights, adamw, copy_weights, interpolate

_TEMPERATURE = 0.05
_BLOCK = 64


@dataclass(frozen=True)
class QueryTrainingSettings:
    """Steps of AdamW: `epochs` over the queries, at least `min_steps` and at most `max_steps` batches."""

    lr: float = 5e-5
    batch_size: int = 32
    epochs: int = 8
    min_steps: int = 20
    max_steps: int = 64
    warmup: float = 0.1
    seed: int = 0

    def steps(self, queries: int) -> int:
        """For so many queries."""
        return min(self.max_steps, max(self.min_steps, self.epochs * queries // self.batch_size))


class QueryTraining:
    """A model of one vector a text, trained on one thread in bfloat16; `dim` are the dimensions that count.

    `start` are the weights it began with, `end` those of the last `train`. Raises as `load_model`, and InvalidInput
    for a model that is no transformer with one tower.
    """

    def __init__(self, folder: Path, prompts: Mapping[str, str], *, dim: int) -> None:
        network = BackboneSettings(dropout=0.0, attention_dropout=0.0)
        model = load_model(folder, LoadSettings(network=network, prompts=prompts))
        if not isinstance(model, TrainableBiEncoder):
            raise InvalidInput(
                f"{folder.name}, a model of the kind {model.kind}", expected="a transformer of one tower"
            )
        self.model, self._dim = model, dim
        self.start: Weights = copy_weights(model.state_dict())
        self.end: Weights = self.start

    def train(
        self,
        texts: Sequence[str],
        passages: Float[np.ndarray, "passages dim"],
        targets: Float[np.ndarray, "queries passages"],
        *,
        settings: QueryTrainingSettings,
    ) -> None:
        """From the start, by the cross-entropy of each query's relevant passages among all.

        Rows of `targets` add up to 1 over the relevant `passages`, whose vectors have length 1.
        """
        model, steps = self.averaged(0).train(), settings.steps(len(texts))
        schedule = LearningRateSchedule(steps, int(settings.warmup * steps))
        optimiser = adamw([model], lr=settings.lr, weight_decay=0.01)
        fixed, shares = torch.from_numpy(passages), torch.from_numpy(targets)
        drawn, order = np.random.default_rng(settings.seed), np.zeros(0, dtype=np.int64)
        with _one_thread():
            for step in range(steps):
                if len(order) < min(settings.batch_size, len(texts)):
                    order = drawn.permutation(len(texts))
                rows, order = order[: settings.batch_size], order[settings.batch_size :]
                for group in optimiser.param_groups:
                    group["lr"] = settings.lr * schedule.share(step)
                found = self._vectors([texts[row] for row in rows])
                logits = found @ fixed.T / _TEMPERATURE
                loss = torch.nn.functional.cross_entropy(logits, shares[torch.from_numpy(rows)])
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()
        self.end = copy_weights(model.state_dict())

    def averaged(self, share: float) -> TrainableBiEncoder:
        """The model with the mean of both weights, `share` of the trained ones; 0 is the start bit for bit."""
        self.model.load_state_dict(self.start if share == 0 else interpolate(self.start, self.end, share))
        self.model.eval()
        return self.model

    def embed(self, texts: Sequence[str]) -> Array:
        """Queries' vectors, of length 1, by the weights that the model has now."""
        with torch.no_grad(), _one_thread():
            return normalise(np.concatenate([self._vectors(each).numpy() for each in in_blocks(texts, _BLOCK)]))

    def _vectors(self, texts: Sequence[str]) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            (found,) = self.model.embed(self.model.features(texts, "query"))
        return torch.nn.functional.normalize(found.values.float()[:, : self._dim], dim=-1)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
