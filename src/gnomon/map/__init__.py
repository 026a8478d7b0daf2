"""A 2-D map of a collection: its passages as points, with clusters and their keywords."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
