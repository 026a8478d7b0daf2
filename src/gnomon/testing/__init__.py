"""Public conformance checks for every contract, and toy parts to test with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
