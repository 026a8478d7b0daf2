"""Light fine-tuning of the model that embeds queries, averaged back to the weights that it began with.

The passages' vectors stay as they are, so nothing is embedded anew, and a query costs little to learn from. The mean
of the start's weights and the tuned ones keeps what the start did well elsewhere (WiSE-FT, Wortsman et al. 2022,
arXiv:2109.01903).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gnomon.adapt.candidates import Candidate, Family, JudgedQueries
from gnomon.adapt.judged_passages import judged_passages
from gnomon.adapt.query_adapter import query_model
from gnomon.adapt.query_residual import TEMPERATURE, RelevanceTargets, best_option
from gnomon.collection.collection import Collection
from gnomon.collection.serving.shared_space import for_role, require_shared_space
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.similarity import normalise
from gnomon.encode.layout.model import ModelLayout

if TYPE_CHECKING:
    from torch import Tensor

    from gnomon.train.models.towers import TrainableBiEncoder

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the tuned weights in the mean that are tried."""
USUAL_SHARE = 0.5
_HELD_OUT = 4
"""One in so many queries is held out to choose the share by."""
_BLOCK = 64
_HALVINGS = 4


@dataclass(frozen=True)
class TuningSettings:
    """Steps of AdamW: `epochs` over the queries, at least `min_steps` and at most `max_steps` batches."""

    lr: float = 5e-5
    batch_size: int = 32
    epochs: int = 8
    min_steps: int = 20
    max_steps: int = 40
    warmup: float = 0.1
    seed: int = 0

    def steps(self, queries: int) -> int:
        """For so many queries."""
        return min(self.max_steps, max(self.min_steps, self.epochs * queries // self.batch_size))


class QueryTuning:
    """A `Learner` of another model for queries. Needs the extra "train".

    InvalidInput without it, for static models, and where `QueryAdapter` raises it.
    """

    name = "fine-tuned query encoder"
    family: Family = "fine-tuning"

    def __init__(self, settings: TuningSettings | None = None) -> None:
        self._settings = settings or TuningSettings()

    def fit(self, kb: Collection, judged: JudgedQueries, folder: Path, *, progress: ProgressCallback) -> Candidate:
        """As `Learner.fit`: `query_encoder.model` is a folder `query-encoder` in `folder`."""
        layout = query_model(kb)
        _require_trainable(layout)
        found = judged_passages(kb, judged)
        progress(Progress("fitting", message=f"{self.name}: {len(found)} queries"))
        target = folder / "query-encoder"
        with _one_thread():
            tuned = tune(layout, found.texts, found.targets(), settings=self._settings)
            _save_shared(kb, tuned, target)
        return Candidate(self.name, self.family, {"query_encoder.model": str(target)})


@dataclass
class TunedWeights:
    """A model with the weights of before and after, and the share of the latter that did well on held-out queries."""

    model: TrainableBiEncoder
    start: Mapping[str, Tensor]
    end: Mapping[str, Tensor]
    share: float

    def averaged(self, share: float) -> TrainableBiEncoder:
        """The model with the mean of both; share 0 is the start bit for bit."""
        from gnomon.train.optim import interpolate

        self.model.load_state_dict(self.start if share == 0 else interpolate(self.start, self.end, share))
        self.model.eval()
        return self.model


def tune(
    layout: ModelLayout, texts: Sequence[str], data: RelevanceTargets, *, settings: TuningSettings
) -> TunedWeights:
    """Tune on three of four queries, choose the share by the others, then tune on all from the start again."""
    from gnomon.train.optim import copy_weights

    model, dim = _load(layout), data.queries.shape[1]
    start = copy_weights(model.state_dict())
    order = np.random.default_rng(settings.seed).permutation(len(texts))
    held_out, rest = np.sort(order[::_HELD_OUT]), np.sort(np.delete(order, np.s_[::_HELD_OUT]))
    questions = [texts[row] for row in held_out]
    _descend(model, [texts[row] for row in rest], data.take(rest), settings=settings)
    first = TunedWeights(model, start, copy_weights(model.state_dict()), USUAL_SHARE)
    others = data.take(held_out)
    losses = [others.losses_by_temperature(_embed(first.averaged(share), questions, dim)) for share in SHARES]
    share = SHARES[best_option(np.stack(losses), SHARES.index(USUAL_SHARE))]
    first.averaged(0)
    _descend(model, texts, data, settings=settings)
    return TunedWeights(model, start, copy_weights(model.state_dict()), share)


def _require_trainable(layout: ModelLayout) -> None:
    if layout.kind != "transformer":
        raise InvalidInput(f"{layout.name}, a table of word vectors", expected="a transformer")
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise InvalidInput(
            f"{error.name} is not installed", expected='the extra "train"', hint="pip install 'gnomon[train]'"
        ) from error


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _load(layout: ModelLayout) -> TrainableBiEncoder:
    from gnomon.train.models.backbone import BackboneSettings
    from gnomon.train.models.build import LoadSettings, load_model
    from gnomon.train.models.towers import TrainableBiEncoder

    network = BackboneSettings(dropout=0.0, attention_dropout=0.0)
    model = load_model(layout.folder, LoadSettings(network=network, prompts=layout.prompts))
    if not isinstance(model, TrainableBiEncoder):
        raise InvalidInput(f"{layout.name}, a model of the kind {model.kind}", expected="one tower")
    return model


def _vectors(model: TrainableBiEncoder, texts: Sequence[str], dim: int) -> Tensor:
    import torch

    with torch.autocast("cpu", torch.bfloat16):
        (found,) = model.embed(model.features(texts, "query"))
    return torch.nn.functional.normalize(found.values.float()[:, :dim], dim=-1)


def _embed(model: TrainableBiEncoder, texts: Sequence[str], dim: int) -> Array:
    import torch

    with torch.no_grad():
        return normalise(np.concatenate([_vectors(model, each, dim).numpy() for each in in_blocks(texts, _BLOCK)]))


def _descend(
    model: TrainableBiEncoder, texts: Sequence[str], data: RelevanceTargets, *, settings: TuningSettings
) -> None:
    """AdamW on the cross-entropy of the relevant passages among all, in place."""
    import torch

    from gnomon.train.optim import LearningRateSchedule, adamw

    steps = settings.steps(len(texts))
    schedule = LearningRateSchedule(steps, int(settings.warmup * steps))
    optimiser = adamw([model], lr=settings.lr, weight_decay=0.01)
    passages, targets = torch.from_numpy(data.passages), torch.from_numpy(data.targets)
    drawn, order = np.random.default_rng(settings.seed), np.zeros(0, dtype=np.int64)
    model.train()
    for step in range(steps):
        if len(order) < min(settings.batch_size, len(texts)):
            order = drawn.permutation(len(texts))
        rows, order = order[: settings.batch_size], order[settings.batch_size :]
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * schedule.share(step)
        found = _vectors(model, [texts[row] for row in rows], passages.shape[1])
        loss = torch.nn.functional.cross_entropy(found @ passages.T / TEMPERATURE, targets[torch.from_numpy(rows)])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()


def _save_shared(kb: Collection, tuned: TunedWeights, target: Path) -> None:
    """Save the mean of the chosen share, halved until the model still shares the passages' space."""
    from gnomon.encode import load_encoder
    from gnomon.encode.settings import EncoderSettings

    share, dim = tuned.share, kb.version.space.dim
    for _ in range(_HALVINGS):
        model = tuned.averaged(share)
        model.save(target)
        own = load_encoder(target, settings=EncoderSettings(dim=dim if dim < model.dim else None))
        try:
            require_shared_space(for_role(kb.encoder, "document"), own)
        except SpaceMismatch:
            share /= 2
        else:
            return
    raise InvalidInput("fine-tuning took queries out of the passages' space", expected="queries that stay in it")
