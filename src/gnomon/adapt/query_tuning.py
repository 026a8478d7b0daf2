"""Light fine-tuning of the model that embeds queries, averaged back to the weights that it began with."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gnomon.adapt.candidates import Candidate, Family, JudgedQueries
from gnomon.adapt.judged_passages import judged_passages
from gnomon.adapt.query_adapter import query_model
from gnomon.adapt.query_residual import RelevanceTargets, best_option
from gnomon.collection.collection import Collection
from gnomon.collection.serving.shared_space import for_role, require_shared_space
from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.encode.layout.model import ModelLayout

if TYPE_CHECKING:
    from gnomon.train.fixed_documents import QueryTraining, QueryTrainingSettings

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the tuned weights in the mean that are tried."""
USUAL_SHARE = 0.5
_HELD_OUT = 4
"""One in so many queries is held out to choose the share by."""
_HALVINGS = 4


class QueryTuning:
    """A `Learner` of another model for queries; passages are not embedded anew. Needs the extra "train".

    InvalidInput without it, for static models, and where `QueryAdapter` raises it.
    """

    name = "fine-tuned query encoder"
    family: Family = "fine-tuning"

    def __init__(self, settings: QueryTrainingSettings | None = None) -> None:
        self._settings = settings

    def fit(self, kb: Collection, judged: JudgedQueries, folder: Path, *, progress: ProgressCallback) -> Candidate:
        """As `Learner.fit`: `query_encoder.model` is a folder `query-encoder` in `folder`."""
        layout = query_model(kb)
        _require_trainable(layout)
        found = judged_passages(kb, judged)
        progress(Progress("fitting", message=f"{self.name}: {len(found)} queries"))
        training, share = tune(layout, found.texts, found.targets(), settings=self._settings)
        target = folder / "query-encoder"
        _save_shared(kb, training, share, target=target)
        return Candidate(self.name, self.family, {"query_encoder.model": str(target)})


def tune(
    layout: ModelLayout,
    texts: Sequence[str],
    data: RelevanceTargets,
    *,
    settings: QueryTrainingSettings | None = None,
) -> tuple[QueryTraining, float]:
    """The model trained on all queries, and the share of its weights in the mean that is right for others.

    The share is chosen on one of four queries, by a model trained on the others.
    """
    from gnomon.train.fixed_documents import QueryTraining, QueryTrainingSettings

    settings = settings or QueryTrainingSettings()
    training = QueryTraining(layout.folder, layout.prompts, dim=data.queries.shape[1])
    order = np.random.default_rng(settings.seed).permutation(len(texts))
    first, second = np.delete(order, np.s_[::_HELD_OUT]), order[::_HELD_OUT]
    rest, others = data.take(first), data.take(second)
    learnt, questions = ([texts[row] for row in rows] for rows in (first, second))
    training.train(learnt, rest.passages, rest.targets, settings=settings)
    losses = []
    for share in SHARES:
        training.averaged(share)
        losses.append(others.losses_by_temperature(training.embed(questions)))
    share = SHARES[best_option(np.stack(losses), SHARES.index(USUAL_SHARE))]
    training.train(texts, data.passages, data.targets, settings=settings)
    return training, share


def _require_trainable(layout: ModelLayout) -> None:
    if layout.kind != "transformer":
        raise InvalidInput(f"{layout.name}, a table of word vectors", expected="a transformer")
    for package in ("torch", "transformers"):
        if find_spec(package) is None:
            raise InvalidInput(
                f"{package} is not installed", expected='the extra "train"', hint="pip install 'gnomon[train]'"
            )


def _save_shared(kb: Collection, training: QueryTraining, share: float, *, target: Path) -> None:
    """Save the mean, its share halved until the model still shares the passages' space."""
    from gnomon.encode import load_encoder
    from gnomon.encode.settings import EncoderSettings

    dim = kb.version.space.dim
    for _ in range(_HALVINGS):
        model = training.averaged(share)
        model.save(target)
        own = load_encoder(target, settings=EncoderSettings(dim=dim if dim < model.dim else None))
        try:
            require_shared_space(for_role(kb.encoder, "document"), own)
        except SpaceMismatch:
            share /= 2
        else:
            return
    raise InvalidInput("fine-tuning took queries out of the passages' space", expected="queries that stay in it")
