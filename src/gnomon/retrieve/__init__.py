"""Retrievers: queries to rankings. They wrap each other; none knows a collection."""

from gnomon.retrieve.dense import Dense
from gnomon.retrieve.fuse import Fuse, FuseSettings
from gnomon.retrieve.lexical import Lexical

__all__ = ["Dense", "Fuse", "FuseSettings", "Lexical"]
