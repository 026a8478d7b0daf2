from .feedback import RM3, Neighbours, NeighbourSettings, RM3Settings, Rocchio, RocchioSettings
from .filter import ChunkLookup, Filter
from .fuse import Fuse, FuseSettings
from .rerank import EncodedTexts, LateRerank, Rerank, RerankSettings
from .retrievers import Dense, Lexical, PrefixDense
from .spaces import SecondStage, SpaceSettings
from .sparse import Sparse, SparseSettings

__all__ = [
    "RM3",
    "ChunkLookup",
    "Dense",
    "EncodedTexts",
    "Filter",
    "Fuse",
    "FuseSettings",
    "LateRerank",
    "Lexical",
    "NeighbourSettings",
    "Neighbours",
    "PrefixDense",
    "RM3Settings",
    "Rerank",
    "RerankSettings",
    "Rocchio",
    "RocchioSettings",
    "SecondStage",
    "SpaceSettings",
    "Sparse",
    "SparseSettings",
]
