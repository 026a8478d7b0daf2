"""Changing the model, the chunking or the search of a live collection: plan, build, gate, switch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
