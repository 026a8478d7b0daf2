from .export import ExportReport, export_collection
from .imports import import_collection
from .settings import ImportReport, ImportSettings

__all__ = [
    "ExportReport",
    "ImportReport",
    "ImportSettings",
    "export_collection",
    "import_collection",
]
