"""Word embeddings: Word2Vec, CBOW, FastText and GloVe; served as static models. No torch.

Word2Vec, CBOW and FastText want the extra `gnomon[words]`. Names are imported when they are first used."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
