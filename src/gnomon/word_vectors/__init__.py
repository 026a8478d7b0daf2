"""Word embeddings: Word2Vec, CBOW, FastText and GloVe, served as static models. No torch.

Word2Vec, CBOW and FastText need the extra `gnomon[words]`.
"""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(__name__, _load, {"WordStep": "gnomon.core.progress:Progress"})
