from .query import Looked, ask_tables, look_up
from .registry import register, registered, unregister
from .types import Column, TableInfo

__all__ = [
    "Column",
    "Looked",
    "TableInfo",
    "ask_tables",
    "look_up",
    "register",
    "registered",
    "unregister",
]
