"""Label-free monitoring of a collection, compared with a baseline."""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(
    __name__, _load, {"WatchReport": "MonitorReport", "WatchSettings": "MonitorSettings", "watch": "monitor"}
)
