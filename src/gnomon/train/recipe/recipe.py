"""Recipes: all settings of a training run, read from TOML. No torch here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.core.serialize import from_plain, to_plain
from gnomon.train.data.batches import BatchSettings
from gnomon.train.data.checks import CheckSettings, LengthLimits
from gnomon.train.recipe.tables import (
    DataTable,
    DevTable,
    FlopsTable,
    ModelTable,
    ObjectiveTable,
    OptimTable,
    OutputTable,
)

_KEY_ALIASES: Mapping[str, str] = {
    "learning_rate": "optim.lr",
    "num_train_epochs": "optim.epochs",
    "num_epochs": "optim.epochs",
    "max_steps": "optim.steps",
    "per_device_train_batch_size": "optim.batch_size",
    "train_batch_size": "optim.batch_size",
    "mini_batch_size": "optim.chunk",
    "warmup_ratio": "optim.warmup",
    "warmup_steps": "optim.warmup",
    "lr_scheduler_type": "optim.schedule",
    "scheduler": "optim.schedule",
    "max_grad_norm": "optim.clip",
    "bf16": "optim.precision",
    "fp16": "optim.precision",
    "eval_steps": "dev.every",
    "early_stopping_patience": "dev.patience",
    "metric_for_best_model": "dev.metric",
    "save_steps": "output.checkpoint_every",
    "save_total_limit": "output.keep",
    "output_dir": "output.folder",
    "model.name": "model.backbone",
    "model_name": "model.backbone",
    "model_name_or_path": "model.backbone",
    "max_seq_length": "model.max_tokens",
    "max_length": "model.max_tokens",
    "pooling_mode": "model.pooling",
    "gradient_checkpointing": "model.checkpointing",
    "loss": "objective.name",
    "loss_function": "objective.name",
    "matryoshka_dims": "objective.matryoshka.dims",
    "train_dataset": "data.sources",
    "train": "data.sources",
    "eval_dataset": "data.dev",
    "eval": "data.dev",
}
"""What sentence-transformers and others call the keys of a recipe, to their paths here: for hints."""
_VALUE_ALIASES: Mapping[str, str] = {
    "multiplenegativesranking": "infonce",
    "multiplenegativessymmetricranking": "infonce",
    "cachedmultiplenegativesranking": "infonce",
    "multiplenegatives": "infonce",
    "mnrl": "infonce",
    "mnr": "infonce",
    "cosinesimilarity": "cosine",
    "distillkldiv": "listwise_kl",
    "leaf": "embedding_regression",
    "mse": "embedding_regression",
    "biencoder": "bi",
    "sentencetransformer": "bi",
    "dense": "bi",
    "dualencoder": "dual",
    "twotower": "dual",
    "colbert": "late",
    "splade": "sparse",
    "sparseencoder": "sparse",
    "lateinteraction": "late",
    "multivector": "late",
    "crossencoder": "cross",
    "reranker": "cross",
    "lasttoken": "last",
    "eos": "last",
}
"""What others call the values, as letters and digits without "loss", to the values here: for hints."""


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run, a table of TOML each."""

    data: DataTable
    model: ModelTable = field(default_factory=ModelTable)
    objective: ObjectiveTable = field(default_factory=ObjectiveTable)
    optim: OptimTable = field(default_factory=OptimTable)
    dev: DevTable = field(default_factory=DevTable)
    output: OutputTable = field(default_factory=OutputTable)

    def __post_init__(self) -> None:
        if self.objective.name == "embedding_regression" and not self.model.teacher:
            raise InvalidInput(
                "the loss 'embedding_regression' without a teacher",
                expected="a model whose vectors are learned",
                hint='say teacher = "gte-small" in [model], or another model of one vector a text',
            )
        if self.model.kind == "sparse":
            # Dot products of weights are no cosines: divided by 0.05, a softmax would see one document alone.
            if self.objective.name == "infonce" and self.objective.temperature is None:
                object.__setattr__(self, "objective", replace(self.objective, temperature=1.0))
            if self.objective.flops is None:
                object.__setattr__(self, "objective", replace(self.objective, flops=FlopsTable()))
        elif self.objective.flops is not None:
            raise InvalidInput("a table [objective.flops]", expected='kind = "sparse"')

    @property
    def training_folder(self) -> Path:
        """Where checkpoints, log and report are: beside the model, absolute."""
        folder = Path(self.output.folder).expanduser().absolute()
        return folder.with_name(f"{folder.name}.training")

    @property
    def batches(self) -> BatchSettings:
        """The settings of its batches."""
        data, optim = self.data, self.optim
        return BatchSettings(
            optim.batch_size,
            optim.seed,
            self.objective.uses_batch,
            data.mixing,
            data.distinct,
            data.drop_short,
        )

    def checks(self, lengths: LengthLimits | None = None) -> CheckSettings:
        """The settings of its data's check."""
        return CheckSettings(self.objective.labels, self.data.strict, lengths)

    def to_json(self) -> dict[str, Any]:
        """All settings, defaults included, as plain tables."""
        plain: dict[str, Any] = to_plain(self)
        return plain

    def to_toml(self) -> str:
        """All settings, defaults included, as a file that `load_recipe` reads back to an equal recipe."""
        return to_toml(self.to_json())


def load_recipe(path: str | Path) -> Recipe:
    """The recipe in a TOML file.

    Raises InvalidInput for an unknown key, naming the nearest known one and its table, for values of another
    type or out of range, and for what is no TOML; UnreadableFile.
    """
    file = Path(path).expanduser()
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{file} is no TOML: {error}", expected="TOML", hint="correct the line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error}", expected="a recipe in TOML", hint="check the path"
        ) from error
    return read_recipe(tables, name=str(file))


def read_recipe(tables: Mapping[str, Any], *, name: str = "the recipe") -> Recipe:
    """The recipe in plain tables. Raises InvalidInput as `load_recipe` does."""
    try:
        return from_plain(Recipe, tables, name="the file", key_aliases=_KEY_ALIASES, suggest_value=_meant_value)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.message}", expected=error.expected, hint=error.hint) from error


def to_toml(tables: Mapping[str, Any]) -> str:
    """Plain tables as TOML. Keys that are None, which TOML has no value for, are left out."""
    import tomli_w

    return tomli_w.dumps(_without_none(tables))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value]
    return value


def _meant_value(value: object) -> str | None:
    """The value here that is called so elsewhere: "infonce" for "MultipleNegativesRankingLoss"."""
    letters = "".join(one for one in str(value).lower() if one.isalnum())
    return _VALUE_ALIASES.get(letters.removesuffix("loss"))
