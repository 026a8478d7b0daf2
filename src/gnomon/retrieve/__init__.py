"""Retrievers: queries to rankings. They wrap each other; none knows a collection."""

from gnomon.retrieve.dense import Dense
from gnomon.retrieve.feedback import RM3, RM3Settings, Rocchio, RocchioSettings
from gnomon.retrieve.filter import Filter
from gnomon.retrieve.fuse import Fuse, FuseSettings
from gnomon.retrieve.late_rerank import EncodedTexts, LateRerank
from gnomon.retrieve.lexical import Lexical
from gnomon.retrieve.lookups import Lookups
from gnomon.retrieve.neighbours import Neighbours, NeighbourSettings
from gnomon.retrieve.prefix import PrefixDense
from gnomon.retrieve.rerank import Rerank, RerankSettings

__all__ = [
    "RM3",
    "Dense",
    "EncodedTexts",
    "Filter",
    "Fuse",
    "FuseSettings",
    "LateRerank",
    "Lexical",
    "Lookups",
    "NeighbourSettings",
    "Neighbours",
    "PrefixDense",
    "RM3Settings",
    "Rerank",
    "RerankSettings",
    "Rocchio",
    "RocchioSettings",
]
