"""What a model is worth without a corpus: similarity, pairs, analogies, words in context."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
