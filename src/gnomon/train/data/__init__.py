"""What training reads: sources of examples, checks of them, and the stream of batches. No torch here."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
