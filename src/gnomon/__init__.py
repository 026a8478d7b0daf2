"""gnomon: the embedding model's whole life in one package.

>>> import gnomon
>>> kb = gnomon.open("kb")                                   # doctest: +SKIP
>>> kb.index(["docs"]); kb.add(["A gnomon casts a shadow."]) # doctest: +SKIP
>>> kb.search("sundial")                                     # doctest: +SKIP

Packages and public names are imported when they are first used: `import gnomon` alone costs next to nothing.
"""

from importlib import import_module
from typing import Any

import lazy_loader

from gnomon.core.version import __version__ as __version__

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    # The old name of three packages is no longer listed, and works until 0.3.
    return import_module("gnomon.evolve") if name == "evolve" else _load(name)
