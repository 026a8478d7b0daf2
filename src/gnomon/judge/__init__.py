"""Judging: people grade the passages that settle which search is better, and stop when it is settled."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
