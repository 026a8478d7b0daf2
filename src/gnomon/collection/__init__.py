"""Collections of documents: catalog, indexing, indexes, versions and search."""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(__name__, _load, {"Progress": "gnomon.core.progress:Progress"})
