"""Tables beside the documents: CSV, SQLite and Parquet files that answer by rows."""

from gnomon.answer.tables.info import Column, TableInfo
from gnomon.answer.tables.looking import Looked, ask_tables, look_up
from gnomon.answer.tables.registry import register, registered, unregister

__all__ = ["Column", "Looked", "TableInfo", "ask_tables", "look_up", "register", "registered", "unregister"]
