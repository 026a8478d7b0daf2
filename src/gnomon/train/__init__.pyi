from .batch import Batch, Example
from .fit import fit
from .mining.mine import mine
from .models.build import Architecture, build_model, load_model
from .models.export import export_onnx
from .recipe.recipe import Recipe, load_recipe, read_recipe
from .report.results import FitReport
from .step import TrainingDiverged

__all__ = [
    "Architecture",
    "Batch",
    "Example",
    "FitReport",
    "Recipe",
    "TrainingDiverged",
    "build_model",
    "export_onnx",
    "fit",
    "load_model",
    "load_recipe",
    "mine",
    "read_recipe",
]
