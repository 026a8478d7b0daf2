"""gnomon: the embedding model's whole life in one package.

>>> import gnomon
>>> kb = gnomon.open("kb")                                   # doctest: +SKIP
>>> kb.index(["docs"]); kb.add(["A gnomon casts a shadow."]) # doctest: +SKIP
>>> kb.search("sundial")                                     # doctest: +SKIP

Packages and public names are imported when they are first used: `import gnomon` alone costs next to nothing.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
