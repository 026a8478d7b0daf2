from .doctor import examine
from .report import Examination, Finding
from .stores.examine import StoreExamination, StoreSettings, examine_store

__all__ = [
    "Examination",
    "Finding",
    "StoreExamination",
    "StoreSettings",
    "examine",
    "examine_store",
]
