from . import (
    adapt,
    answer,
    collection,
    doctor,
    encode,
    evaluate,
    exchange,
    judge,
    migrate,
    monitor,
    retrieve,
    serve,
    testing,
    train,
    word_vectors,
)
from .collection.collection import Collection
from .collection.opening import open  # noqa: A004
from .collection.settings import CollectionSettings, IndexOptions, RetrievalSettings
from .core.documents import Chunk, Document
from .core.errors import GnomonError, SpaceMismatch
from .core.progress import Progress
from .core.ranking import Hit, Query, Ranking
from .core.space import Space
from .core.vectors import Vectors
from .encode.load import load_encoder
from .encode.settings import EncoderSettings

__version__: str

__all__ = [
    "Chunk",
    "Collection",
    "CollectionSettings",
    "Document",
    "EncoderSettings",
    "GnomonError",
    "Hit",
    "IndexOptions",
    "Progress",
    "Query",
    "Ranking",
    "RetrievalSettings",
    "Space",
    "SpaceMismatch",
    "Vectors",
    "adapt",
    "answer",
    "collection",
    "doctor",
    "encode",
    "evaluate",
    "exchange",
    "judge",
    "load_encoder",
    "migrate",
    "monitor",
    "open",
    "retrieve",
    "serve",
    "testing",
    "train",
    "word_vectors",
]
