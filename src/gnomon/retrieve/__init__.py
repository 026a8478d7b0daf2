"""Retrievers: queries to rankings. They wrap each other; none knows a collection."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
