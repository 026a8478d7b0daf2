"""A recipe: all that decides a training run, as frozen values read from TOML. No torch here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.train.data.batches import BatchSettings
from gnomon.train.data.checks import CheckSettings, Lengths
from gnomon.train.recipe.tables import (
    DataTable,
    DevTable,
    ModelTable,
    ObjectiveTable,
    OptimTable,
    OutputTable,
)
from gnomon.train.recipe.toml import read_table, to_toml


@dataclass(frozen=True)
class Recipe:
    """A whole run."""

    data: DataTable
    model: ModelTable = field(default_factory=ModelTable)
    objective: ObjectiveTable = field(default_factory=ObjectiveTable)
    optim: OptimTable = field(default_factory=OptimTable)
    dev: DevTable = field(default_factory=DevTable)
    output: OutputTable = field(default_factory=OutputTable)

    @property
    def batches(self) -> BatchSettings:
        """How its batches are made."""
        data, optim = self.data, self.optim
        return BatchSettings(
            optim.batch_size,
            optim.seed,
            self.objective.uses_batch,
            data.mixing,
            data.distinct,
            data.drop_short,
        )

    def checks(self, lengths: Lengths | None = None) -> CheckSettings:
        """How its data is checked."""
        return CheckSettings(self.objective.labels, self.data.strict, lengths)

    def to_json(self) -> dict[str, Any]:
        """All settings, defaults included, as plain tables."""
        return asdict(self)

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
        raise InvalidInput(f"{file} is no TOML: {error}", expected="TOML", hint="mend the line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(
            f"{file} cannot be read: {error}", expected="a recipe in TOML", hint="check the path"
        ) from error
    return read_recipe(tables, name=str(file))


def read_recipe(tables: Mapping[str, Any], *, name: str = "the recipe") -> Recipe:
    """The recipe in plain tables. Raises InvalidInput as `load_recipe` does."""
    try:
        return read_table(Recipe, tables)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error.message}", expected=error.expected, hint=error.hint) from error
