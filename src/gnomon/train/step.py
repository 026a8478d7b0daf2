"""One training step: a batch to gradients, for any architecture, within a memory limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.train.batch import Batch
from gnomon.train.contracts import WHOLE, Embedder, Features, Loss, Model, PairScorer, RegularisedLoss, Reps
from gnomon.train.distributed import BatchAcrossRanks, gather_batch, gather_blocks, gather_reps
from gnomon.train.grad_cache import (
    ComputedPieces,
    Precision,
    compute_pieces,
    padded_tokens,
    split_into_pieces,
)

SCORED_TOGETHER = 2**26
"""Products of tokens that late interaction holds at once (256 MiB); beyond, queries are scored in blocks."""

PIECE_TOKENS = {"cpu": 2048, "cuda": 65_536}
"""Tokens computed at once. A CPU's pieces fit its caches; a GPU wants to be full."""


class TrainingDiverged(GnomonError):
    """The loss became NaN or infinite."""


@dataclass(frozen=True)
class StepSettings:
    """How a step is computed.

    A batch of more than `chunk_items` texts (or pairs) or `chunk_tokens` tokens is computed twice, piece by
    piece (GradCache), and no piece is larger than them; None has no limit. `piece_tokens` is what is computed
    at once in any case, for speed: texts of like length go together, and caches are small. None is what suits
    the device: PIECE_TOKENS.
    """

    chunk_items: int | None = None
    chunk_tokens: int | None = None
    piece_tokens: int | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name in ("chunk_items", "chunk_tokens", "piece_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} = {value}", expected="at least 1, or none")
        if self.precision not in get_args(Precision):
            raise InvalidInput(f"precision = {self.precision!r}", expected=f"one of {get_args(Precision)}")

    def on(self, device: torch.device) -> StepSettings:
        """These settings with `piece_tokens` set as it suits the device, if it is None."""
        default = PIECE_TOKENS.get(device.type, PIECE_TOKENS["cuda"])
        return replace(self, piece_tokens=self.piece_tokens or default)


@dataclass(frozen=True)
class StepReport:
    """A step's loss, and what was computed on this machine.

    `items` texts or pairs of `tokens` tokens, `padded` tokens with padding, in `pieces` pieces; `cached` says
    whether each piece was computed twice.
    """

    loss: float
    items: int
    tokens: int
    padded_tokens: int
    pieces: int
    cached: bool


def run_step(
    model: Model, loss: Loss, batch: Batch, *, settings: StepSettings, across: BatchAcrossRanks | None = None
) -> StepReport:
    """Add the gradients of the loss on this batch to those of the model and of the loss.

    With `across` the batches of all ranks are one: call `average_gradients` afterwards. Raises
    TrainingDiverged, naming the batch's ids, for a loss that is NaN or infinite, before any gradient;
    InvalidInput when memory runs out, after which the gradients are undefined.
    """
    towers = isinstance(model, Embedder)
    if not towers and not isinstance(model, PairScorer):
        raise InvalidInput(f"a model of type {type(model).__name__}", expected="an Embedder or a PairScorer")
    if not towers and tuple(loss.views) != WHOLE:
        raise InvalidInput(
            "a loss for several dimensions or layers, with a cross-encoder",
            expected="a model that embeds: a cross-encoder has no dimensions to cut",
            hint="leave matryoshka and layer_wise out of the recipe",
        )
    device = next(iter(model.parameters())).device
    settings = settings.on(device)
    work = _texts(model, loss, batch, settings=settings) if towers else _pairs(model, batch, settings)
    with _memory(work, settings):
        computed = work.compute(settings, device)
        known = batch if across is None else gather_batch(batch, across)
        score = _view_scores if towers else _pair_scores
        scores = score(model, loss, batch, work=work, computed=computed, across=across)
        total = _weighted_loss(loss, scores, known)
        if isinstance(loss, RegularisedLoss):
            total = total + _penalty(loss, known, work=work, computed=computed, across=across)
        total.backward()
        computed.backward()
    return StepReport(total.item(), *work.figures, cached=work.cached(settings))


@dataclass(frozen=True, eq=False)
class _Work:
    """Features to compute by sides (queries and documents, or pairs), each side split into pieces."""

    sides: tuple[Features, ...]
    pieces: tuple[list[list[int]], ...]
    call: Any

    @classmethod
    def of(cls, sides: Sequence[Features], call: Any, settings: StepSettings) -> _Work:
        limits = [limit for limit in (settings.piece_tokens, settings.chunk_tokens) if limit is not None]
        tokens = min(limits, default=None)
        cuts = tuple(split_into_pieces(side.lengths, items=settings.chunk_items, tokens=tokens) for side in sides)
        return cls(tuple(sides), cuts, call)

    @property
    def figures(self) -> tuple[int, int, int, int]:
        """Items, tokens, tokens with padding, pieces."""
        both = list(zip(self.sides, self.pieces, strict=True))
        return (
            sum(len(side) for side in self.sides),
            sum(sum(side.lengths) for side in self.sides),
            sum(padded_tokens(side.lengths, pieces) for side, pieces in both),
            sum(len(pieces) for pieces in self.pieces),
        )

    def cached(self, settings: StepSettings) -> bool:
        """Whether the batch is larger than one graph may be."""
        items, _, tokens, _ = self.figures
        return any(
            limit is not None and given > limit
            for given, limit in ((items, settings.chunk_items), (tokens, settings.chunk_tokens))
        )

    def compute(self, settings: StepSettings, device: torch.device) -> ComputedPieces:
        both = zip(self.sides, self.pieces, strict=True)
        runs = [partial(self.call, side.take(piece)) for side, pieces in both for piece in pieces]
        return compute_pieces(runs, cached=self.cached(settings), precision=settings.precision, device=device)

    def joined(self, computed: ComputedPieces, side: int, layer: int) -> Reps:
        """The representations of one side at the layer of this position, in the features' order."""
        first = sum(len(pieces) for pieces in self.pieces[:side])
        parts = [part[layer] for part in computed.parts[first : first + len(self.pieces[side])]]
        return Reps.joined(parts, list(chain.from_iterable(self.pieces[side])))


def _texts(model: Embedder, loss: Loss, batch: Batch, *, settings: StepSettings) -> _Work:
    sides = (
        model.features(batch.queries, "query", source=batch.source),
        model.features(batch.documents, "document", source=batch.source),
    )
    return _Work.of(sides, partial(model.embed, layers=_layers(loss)), settings)


def _pairs(model: PairScorer, batch: Batch, settings: StepSettings) -> _Work:
    """The pairs that have a label."""
    rows, columns = np.nonzero(~np.isnan(batch.labels))
    if not len(rows):
        raise InvalidInput(
            f"a batch without a known label ({_named(batch.ids)})", expected="a label for one pair at least"
        )
    queries, documents = [batch.queries[at] for at in rows], [batch.documents[at] for at in columns]
    features = model.pairs(queries, documents, source=batch.source)
    return _Work.of([features], lambda part: [Reps(model.judge(part)[:, None])], settings)


def _layers(loss: Loss) -> list[int]:
    return sorted({view.layer for view in loss.views})


def _view_scores(
    model: Embedder, loss: Loss, _: Batch, *, work: _Work, computed: ComputedPieces, across: BatchAcrossRanks | None
) -> Iterator[Tensor]:
    """The score matrix of each view, float32."""
    layers = _layers(loss)
    sides = []
    for side in (0, 1):
        reps = [work.joined(computed, side, at) for at in range(len(layers))]
        sides.append(reps if across is None else [gather_reps(each) for each in reps])
    for view in loss.views:
        queries, documents = (side[layers.index(view.layer)].truncate(view.dim) for side in sides)
        yield _scored(model, queries, documents)


def _penalty(
    loss: RegularisedLoss, batch: Batch, *, work: _Work, computed: ComputedPieces, across: BatchAcrossRanks | None
) -> Tensor:
    """The loss's own part for the representations. Raises TrainingDiverged where it is not finite."""
    sides = [work.joined(computed, side, 0) for side in range(len(work.sides))]
    if len(sides) < 2:
        raise InvalidInput(
            "a regularised loss with a cross-encoder",
            expected="a model that embeds: a pair's score has no representations",
            hint="leave flops out of [objective]",
        )
    queries, documents = sides if across is None else [gather_reps(side) for side in sides]
    term = loss.penalty(queries, documents)
    if not torch.isfinite(term):
        raise TrainingDiverged(
            f"the regularisation is {term.item()} in a batch of {len(batch.queries)} queries: {_named(batch.ids)}",
            expected="finite weights",
            hint="continue from the last checkpoint with a lower learning rate",
        )
    return term


def _scored(model: Embedder, queries: Reps, documents: Reps) -> Tensor:
    """The score matrix, by blocks of queries where all products of tokens would not fit."""
    with torch.autocast(queries.values.device.type, enabled=False):
        mask, tokens = queries.mask, documents.values.shape[1]
        if mask is None or mask.numel() * len(documents) * tokens <= SCORED_TOGETHER:
            return model.score(queries, documents)
        rows = max(1, SCORED_TOGETHER // (mask.shape[1] * len(documents) * tokens))
        blocks = [Reps(queries.values[at : at + rows], mask[at : at + rows]) for at in range(0, len(queries), rows)]
        # What a block needs for its gradient is computed again when it is due.
        return torch.cat([checkpoint(model.score, b, documents, use_reentrant=False) for b in blocks])


def _pair_scores(
    model: PairScorer, _: Loss, batch: Batch, *, work: _Work, computed: ComputedPieces, across: BatchAcrossRanks | None
) -> Iterator[Tensor]:
    """The score matrix with 0 for pairs that were not read: their labels are NaN."""
    scores = work.joined(computed, 0, 0).values[:, 0]
    at = torch.from_numpy(~np.isnan(batch.labels)).to(scores.device)
    matrix = scores.new_zeros(batch.labels.shape).masked_scatter(at, scores)
    yield matrix if across is None else gather_blocks(matrix)


def _weighted_loss(loss: Loss, scores: Iterator[Tensor], batch: Batch) -> Tensor:
    """The weighted sum over the views. Raises TrainingDiverged where it is not finite."""
    terms = []
    for view, matrix in zip(loss.views, scores, strict=True):
        labels = torch.from_numpy(batch.labels).to(matrix.device)
        term = view.weight * loss(matrix, labels)
        if not torch.isfinite(term):
            wrong = (~torch.isfinite(matrix) & ~torch.isnan(labels)).any(1).tolist()
            ids = [name for name, bad in zip(batch.ids, wrong, strict=False) if bad] or batch.ids
            raise TrainingDiverged(
                f"the loss is {term.item()} in a batch of {len(batch.queries)} queries; "
                f"{'scores that are not finite' if any(wrong) else 'all scores finite'}: {_named(ids)}",
                expected="a finite loss",
                hint="continue from the last checkpoint with a lower learning rate, clipped gradients or "
                "precision float32; look at these examples",
            )
        terms.append(term)
    return torch.stack(terms).sum()


def _named(ids: Sequence[str], at_most: int = 20) -> str:
    """The ids of a batch for a message."""
    named = ", ".join(name or "without id" for name in ids[:at_most]) or "examples without ids"
    return named + (f" and {len(ids) - at_most} more" if len(ids) > at_most else "")


@contextmanager
def _memory(work: _Work, settings: StepSettings) -> Iterator[None]:
    """Turn out-of-memory errors into InvalidInput that says which chunk size to set."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "DefaultCPUAll" not in str(error):
            raise
        items, _, tokens, pieces = work.figures
        held = tokens
        if work.cached(settings):
            both = zip(work.sides, work.pieces, strict=True)
            held = max(padded_tokens(side.lengths, [piece]) for side, cuts in both for piece in cuts)
        raise InvalidInput(
            f"out of memory for a batch of {items} texts, {tokens} tokens with padding, in {pieces} "
            f"pieces, of which up to {held} tokens were held together",
            expected="a batch, or pieces of it, that fit into the memory",
            hint=f"set chunk_tokens = {max(1, held // 2)}: gradients stay the same; if that is "
            "not enough, a smaller batch or fewer tokens a text",
        ) from error
