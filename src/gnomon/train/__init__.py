"""Training embedding models: any architecture, one score matrix. Wants the extra `gnomon[train]`.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from gnomon.train.batch import Batch, Example
    from gnomon.train.building import Architecture, build_model
    from gnomon.train.fitting import FitReport, fit
    from gnomon.train.loading import load_model
    from gnomon.train.mining import mine
    from gnomon.train.recipe import Recipe, load_recipe, read_recipe
    from gnomon.train.standing import FitProgress
    from gnomon.train.step import TrainingDiverged

_HOME = {
    "Architecture": "building",
    "Batch": "batch",
    "Example": "batch",
    "FitProgress": "standing",
    "FitReport": "fitting",
    "Recipe": "recipe",
    "TrainingDiverged": "step",
    "build_model": "building",
    "fit": "fitting",
    "load_model": "loading",
    "load_recipe": "recipe",
    "mine": "mining",
    "read_recipe": "recipe",
}

__all__ = [
    "Architecture",
    "Batch",
    "Example",
    "FitProgress",
    "FitReport",
    "Recipe",
    "TrainingDiverged",
    "build_model",
    "fit",
    "load_model",
    "load_recipe",
    "mine",
    "read_recipe",
]


def missing_extra(package: str) -> InvalidInput:
    """What to say where a package of the extra is not installed."""
    return InvalidInput(
        f"training without {package}",
        wanted="the extra for training",
        next_step="pip install 'gnomon[train]'",
    )


def __getattr__(name: str) -> Any:
    if name in _HOME:
        try:
            return getattr(importlib.import_module(f"gnomon.train.{_HOME[name]}"), name)
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "transformers", "safetensors"):
                raise
            raise missing_extra(error.name) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
