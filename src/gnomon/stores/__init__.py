"""Stores: vector engines that hold a version's vectors and search them, in place of the local vector index."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
