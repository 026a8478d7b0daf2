"""Judgments, metrics, significance and power: numbers with error bars, and a verdict."""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(__name__, _load, {"found_by_kind": "recall_by_kind"})
