"""Examines a collection or another store: what is in it, what is wrong, which model made the vectors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
