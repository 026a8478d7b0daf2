"""Training data: sources of examples, checks of them, and the stream of batches. No torch here."""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(
    __name__,
    _load,
    {
        "Cursor": "SourceCursor",
        "Finding": "DataFinding",
        "Lengths": "LengthLimits",
        "Place": "StreamState",
        "Source": "DataSource",
        "SourceSettings": "DataSourceSettings",
    },
)
