from .export import ExportReport, export_collection
from .imports import ImportReport, ImportSettings, import_collection

__all__ = [
    "ExportReport",
    "ImportReport",
    "ImportSettings",
    "export_collection",
    "import_collection",
]
