"""Tables beside the documents: CSV, SQLite and Parquet files that answer by rows."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
