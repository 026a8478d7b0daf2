"""Collections in open formats: written to Parquet or Lance folders, and taken in from those and from other stores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
