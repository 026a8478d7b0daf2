"""From a recipe to all that a run works with: model, loss, batches, and the sets it is evaluated on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from gnomon.core.contracts import Role
from gnomon.core.errors import GnomonError, InvalidInput, ModelUnsupported
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.encode.layout.families import FAMILIES, transformer_spec
from gnomon.encode.layout.sparse import MASKED_LANGUAGE_HEADS
from gnomon.train.contracts import WHOLE, Embedder, Loss, Model
from gnomon.train.data.batches import Batches
from gnomon.train.data.checks import DataReport, LengthLimits, check_data
from gnomon.train.data.source import DataSource, open_source, prompts_by_source
from gnomon.train.distillation import (
    DistilledEmbedder,
    TaughtSource,
    align,
    load_teacher,
    taught_sources,
    teacher_texts,
)
from gnomon.train.distributed import on_first_rank
from gnomon.train.evaluation import DevSet, open_dev_set
from gnomon.train.grad_cache import Precision
from gnomon.train.losses import make_loss, wrap_loss
from gnomon.train.models.attention import with_byte_dropout
from gnomon.train.models.backbone import BackboneSettings, NewBackbone
from gnomon.train.models.build import Architecture, build_model
from gnomon.train.models.late_interaction import LateSettings
from gnomon.train.models.sparse import TrainableSparseEncoder
from gnomon.train.recipe.recipe import Recipe
from gnomon.train.recipe.tables import LateTable
from gnomon.train.report.embedding_map import TrackedTexts, choose_texts
from gnomon.train.teacher_vectors import TeacherVectors


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """All that a run works with.

    `digests` are those of the sources' files by name, `tracked` the texts that the embedding map shows.
    """

    recipe: Recipe
    model: Model
    loss: Loss
    batches: Batches
    dev: tuple[DevSet, ...]
    test: tuple[DevSet, ...]
    data: DataReport
    digests: Mapping[str, str]
    precision: Precision
    tracked: TrackedTexts | None = None
    teacher: TeacherVectors | None = None
    taught: tuple[TaughtSource, ...] = ()

    @property
    def learner(self) -> Model:
        """What a step trains: the model, or the model with its teacher."""
        if self.teacher is None:
            return self.model
        return DistilledEmbedder(self.model, self.teacher, {one.source.name: one for one in self.taught})


def prepare(recipe: Recipe, *, scratch: Path | None = None, progress: ProgressCallback = no_progress) -> TrainingSetup:
    """Open and check the data, and build the model. Raises InvalidInput for what cannot be trained."""
    sources = [open_source(one, scratch=scratch) for one in recipe.data.sources]
    watched = [open_source(one, scratch=scratch) for one in (*recipe.data.dev, *recipe.data.test)]
    model = model_of(recipe, sources)
    require_servable(model)
    report = check_data(sources, watched, settings=recipe.checks(lengths_of(model)))
    kept = report.kept(sources)
    taught = taught_sources(kept) if recipe.model.teacher else ()
    teacher = teacher_of(recipe, model, taught, progress=progress) if taught else None
    learned = tuple(one.source for one in taught) or kept
    if teacher is None:
        require_contrast(recipe, kept)
        require_answers(recipe, kept)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        with_byte_dropout(model)
    batches = Batches(learned, recipe.batches)
    loss = loss_of(recipe, steps=lambda: min(batches.count(recipe.optim.epochs), recipe.optim.steps or sys.maxsize))
    require_views(model, loss)
    if isinstance(loss, torch.nn.Module):
        loss.to(device)
    dev = tuple(open_dev_set(one, scratch=scratch) for one in recipe.data.dev)
    return TrainingSetup(
        recipe,
        model.to(device),
        loss,
        batches,
        dev,
        tuple(open_dev_set(one, scratch=scratch) for one in recipe.data.test),
        report,
        digests_of(recipe, report),
        precision_of(recipe.optim.precision, device),
        choose_texts(dev, kept, anchors=recipe.dev.map) if _is_mapped(model) else None,
        teacher,
        taught,
    )


def teacher_of(
    recipe: Recipe, model: Model, taught: Sequence[TaughtSource], *, progress: ProgressCallback
) -> TeacherVectors:
    """The teacher's vectors of all texts; where the loss is their distance, the model is put into their space."""
    aligned = recipe.objective.name == "embedding_regression"
    teacher = load_teacher(recipe.model, recipe.training_folder, model, aligned=aligned)
    on_first_rank(lambda: teacher.fill(teacher_texts(taught), progress=progress))
    teacher.refresh()
    if aligned:
        align(model, teacher, taught)
    return teacher


def digests_of(recipe: Recipe, report: DataReport) -> dict[str, str]:
    """The sources' digests by "train/name", "dev/name" and "test/name"."""
    data = recipe.data
    splits = ["train"] * len(data.sources) + ["dev"] * len(data.dev) + ["test"] * len(data.test)
    sources = (*report.train, *report.held_out)
    return {f"{split}/{one.name}": one.digest for split, one in zip(splits, sources, strict=True)}


def require_contrast(recipe: Recipe, sources: Sequence[DataSource]) -> None:
    """Raise InvalidInput if every document is a positive: without negatives there is nothing to learn."""
    table = recipe.objective
    if table.uses_batch or not all(one.form in ("pairs", "parallel") for one in sources):
        return
    raise InvalidInput(
        f"the loss {table.name!r} on pairs alone ({', '.join(one.name for one in sources)}), all right",
        expected="scores, negatives, or other examples' documents as negatives",
        hint='say name = "infonce" or in_batch = true in [objective], or find negatives: gnomon mine',
    )


def require_answers(recipe: Recipe, sources: Sequence[DataSource]) -> None:
    """Raise InvalidInput if all questions of all sources have one and the same answer and no negative."""
    if not recipe.objective.uses_batch or not all(one.form == "pairs" for one in sources):
        return
    documents: set[str] = set()
    for source in sources:
        for example in source:
            documents.update(example.documents)
            if len(documents) > 1:
                return
    if not documents:
        return  # a source without examples is refused with its name where batches are made
    raise InvalidInput(
        f"one answer to all questions ({', '.join(one.name for one in sources)}): {', '.join(documents)[:80]!r}",
        expected="at least two different answers: with none to tell it from, nothing is learned",
        hint="give the answers of each question, or negatives",
    )


def require_servable(model: Model) -> None:
    """Raise ModelUnsupported for a network that `encode` could not run once it is trained."""
    from transformers import PreTrainedModel

    if not isinstance(model, torch.nn.Module):
        return
    for part in model.modules():
        if not isinstance(part, PreTrainedModel):
            continue
        family, config = str(part.config.model_type), part.config.to_dict()
        served = MASKED_LANGUAGE_HEADS if isinstance(model, TrainableSparseEncoder) else FAMILIES
        if family not in served:
            raise ModelUnsupported(
                f"a backbone of the family {family!r}, which gnomon trains and cannot serve",
                expected=f"one of {', '.join(sorted(served))}",
                hint="choose a backbone of these families: `gnomon models` lists some",
            )
        transformer_spec(family, config)
        return


def require_views(model: Model, loss: Loss) -> None:
    """Raise InvalidInput for dimensions or layers in [objective] that the model does not have."""
    if not isinstance(model, Embedder):
        if tuple(loss.views) != WHOLE:
            raise InvalidInput(
                "matryoshka or layer_wise, with a cross-encoder",
                expected="a model that embeds: a cross-encoder has no dimensions to cut",
                hint="leave them out of [objective]",
            )
        return
    if model.kind == "sparse" and tuple(loss.views) != WHOLE:
        raise InvalidInput(
            "matryoshka or layer_wise, with a sparse encoder",
            expected="a model whose dimensions have an order: those of a sparse encoder are tokens",
            hint="leave them out of [objective]",
        )
    own = int(getattr(model, "dim", 0))
    wide = sorted({view.dim for view in loss.views if view.dim is not None and view.dim > own})
    if wide:
        raise InvalidInput(
            f"dims = {wide} for a model of {own} dimensions",
            expected=f"at most {own}; 0 is all of them",
            hint="correct dims in [objective]",
        )
    with torch.inference_mode():
        # The layers are known to be there when one text has gone through them.
        model.embed(model.features(["a"], "query"), layers=sorted({view.layer for view in loss.views}))


def precision_of(wanted: str, device: torch.device) -> Precision:
    """bfloat16 where the recipe says so, or "auto" and the hardware multiplies in it; else float32."""
    if wanted == "auto":
        if device.type == "cuda":
            return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
        return "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"  # noqa: SLF001
    return "bfloat16" if wanted == "bfloat16" else "float32"


def model_of(recipe: Recipe, sources: list[DataSource]) -> Model:
    """The model of [model], its prompts and those of the sources stored with it."""
    table = recipe.model
    new = None if table.new is None else NewBackbone(**{**vars(table.new), "more": dict(table.new.more)})
    what = Architecture(
        kind=table.kind,
        backbone=new or table.backbone,
        document_backbone=table.document_backbone or None,
        pooling=table.pooling,
        dim=table.dim,
        max_tokens=table.max_tokens,
        similarity=table.similarity,
        prompts={**table.prompts, **prompts_by_source(sources)},
        pool_prompt=table.pool_prompt,
        tokenizer=table.tokenizer,
        vocabulary=table.vocabulary,
        late=late_of(table.late),
        head=table.head,
        seed=table.seed,
    )
    settings = BackboneSettings(table.dropout, table.attention_dropout, table.checkpointing)
    return build_model(what, settings=settings, corpus=partial(_texts, sources))


def late_of(table: LateTable | None) -> LateSettings:
    """The settings of [model.late]."""
    if table is None:
        return LateSettings()
    own = LateSettings(table.query_tokens or None, table.attend)
    return own if table.skip_punctuation else replace(own, skip=())


def _is_mapped(model: Model) -> bool:
    """Whether the report draws its vectors; the many dimensions of a sparse encoder are told in numbers."""
    return isinstance(model, Embedder) and model.kind != "sparse"


def loss_of(recipe: Recipe, *, steps: Callable[[], int] = lambda: 0) -> Loss:
    """The loss of [objective] with its wrappers; `steps` counts those of the run, which some need."""
    table = recipe.objective
    made = make_loss(table.name, **table.settings)
    if table.mask_false_negatives is not None:
        made = wrap_loss("mask_false_negatives", made, **vars(table.mask_false_negatives))
    if table.matryoshka is not None:
        made = wrap_loss("matryoshka", made, **_views(vars(table.matryoshka)))
    if table.layer_wise is not None:
        made = wrap_loss("layer_wise", made, **_views(vars(table.layer_wise)))
    if table.flops is not None:
        own = table.flops
        made = wrap_loss("flops", made, query=own.query, document=own.document, ramp=round(own.ramp * steps()))
    return made


def _views(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a wrapper, with 0 among the sizes as None: all dimensions."""
    given = {key: value for key, value in plain.items() if value is not None}
    return {**given, "dims": tuple(dim or None for dim in given["dims"])}


def lengths_of(model: Model) -> LengthLimits | None:
    """The limits of text lengths; None for a model that reads pairs, or has no limit."""
    if not isinstance(model, Embedder):
        return None

    def count(texts: Any, role: Role) -> list[int]:
        return model.features(list(texts), role).lengths

    if model.kind == "static":
        return None
    # Over-long texts are cut: their length is the limit, which else only texts that just fit have.
    return LengthLimits(count, _longest(model, "query"), _longest(model, "document"))


def _longest(model: Any, role: Role) -> int:
    tower = {"bi": lambda: model.tower, "dual": lambda: model.tower(role)}.get(model.kind, lambda: model)()
    return int(tower.backbone.tokenizer.max_tokens)


def _texts(sources: list[DataSource]) -> Iterator[str]:
    for source in sources:
        for at in range(len(source)):
            try:
                example = source[at]
            except GnomonError:
                continue  # the check of the data reports rows that cannot be read
            yield from (example.query, *example.documents)
