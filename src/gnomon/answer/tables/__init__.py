"""Tables beside the documents: CSV, SQLite and Parquet files whose rows answer questions."""

import lazy_loader

from gnomon.core.renamed import renamed

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__getattr__ = renamed(__name__, _load, {"Looked": "TableSearchResult", "look_up": "search_tables"})
