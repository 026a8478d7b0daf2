"""Training embedding models: any architecture, one score matrix. Needs the extra `gnomon[train]`."""

from __future__ import annotations

from typing import Any

import lazy_loader

from gnomon.core.errors import missing_extra
from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def _get(name: str) -> Any:
    try:
        return _load(name)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers", "safetensors"):
            raise
        raise missing_extra(error.name, extra="train") from error


__getattr__ = renamed(__name__, _get, {"FitProgress": "gnomon.core.progress:Progress"})
