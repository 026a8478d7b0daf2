from .doctor import examine
from .report import DoctorFinding, DoctorReport
from .stores.examine import StoreReport, StoreSettings, examine_store
from .stores.source import ColumnNames, StoreSource, VectorBatch

__all__ = [
    "ColumnNames",
    "DoctorFinding",
    "DoctorReport",
    "StoreReport",
    "StoreSettings",
    "StoreSource",
    "VectorBatch",
    "examine",
    "examine_store",
]
