from .registry import register, registered, unregister
from .search import TableSearchResult, ask_tables, search_tables
from .types import Column, TableInfo

__all__ = [
    "Column",
    "TableInfo",
    "TableSearchResult",
    "ask_tables",
    "register",
    "registered",
    "search_tables",
    "unregister",
]
