"""Examines a collection or another store: what is in it, what is wrong, which model made the vectors."""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(
    __name__,
    _load,
    {"Examination": "DoctorReport", "Finding": "DoctorFinding", "StoreExamination": "StoreReport"},
)
