"""What a collection would take if it grew: embedding, memory and disk, from rates measured on the collection itself."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gnomon.collection.collection import Collection
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.core.space import Space
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vector_types import record_type
from gnomon.index.ann import scan_code_bytes
from gnomon.migrate.cost import dense_bytes, measure_speed
from gnomon.migrate.plan import INDEX_S_PER_CHUNK, WRITE_S_PER_TEXT

Origin = Literal["measured", "calculated", "published"]
"""measured: here, on this collection or machine; calculated: from such a rate; published: by the engine's maker."""
_COUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmb]?)", re.IGNORECASE)
_TIMES = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
_MOST = 10**12
_DOCUMENTS_READ = 256
"""Documents whose passages are encoded to measure the speed."""


def parse_count(text: str) -> int:
    """A number of documents as people write it.

    >>> parse_count("100M"), parse_count("2.5k"), parse_count("1_000")
    (100000000, 2500, 1000)

    Raises InvalidInput for what is no number of at least 1.
    """
    found = _COUNT.fullmatch(text.replace(",", "").replace("_", "").strip())
    number = round(float(found[1]) * _TIMES[found[2].lower()]) if found else 0
    if not 1 <= number <= _MOST:
        raise InvalidInput(
            f"{text!r} documents", expected="a number from 1 to 1000B", hint="for example 5000, 250k, 100M or 1B"
        )
    return number


@dataclass(frozen=True)
class EngineEstimate:
    """What the vectors take in an engine: bytes in memory for quick searches, and on disk; 0 where it has none.

    `how` is the rule in words, `origin` where it comes from.
    """

    engine: str
    memory: int
    disk: int
    how: str
    origin: Origin


@dataclass(frozen=True)
class ScalePlan:
    """A collection at another size.

    `chunks` and `tokens` are those of `documents` like the collection's own. `core_hours` are for embedding and writing
    them: `tokens_per_core_second` was measured on `sample` texts (0 for a model of a server). `cores` finish in
    `hours`. `cost` is what a server charges, or the core hours at the price given; None without a price.
    `catalog_bytes` hold texts, metadata and each vector once, `words_bytes` the keyword index. `engines` are the ways
    to search the vectors.
    """

    documents: int
    chunks: int
    tokens: int
    dim: int
    model: str
    sample: int
    tokens_per_core_second: float
    core_hours: float
    hours: float
    cores: int
    hours_here: float
    cost: float | None
    catalog_bytes: int
    words_bytes: int
    engines: tuple[EngineEstimate, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        plain: dict[str, Any] = to_plain(self)
        return plain


def plan_scale(
    kb: Collection,
    documents: int,
    *,
    store: str | None = None,
    hours: float = 24.0,
    core_price: float | None = None,
    price: float | None = None,
) -> ScalePlan:
    """Calculate what a collection would take with so many documents like its own; changes and sends nothing.

    `store` is an engine's name (None: all of them); `hours` is the time in which all is to be embedded, `core_price`
    the price of a core for an hour, `price` that of a million tokens of a server's model. The speed is measured on
    passages of the collection. Raises InvalidInput for an empty collection, an unknown engine and no time.
    """
    if not (math.isfinite(hours) and hours > 0):
        raise InvalidInput(f"{hours:g} hours", expected="a time above 0")
    status = kb.status()
    if not status.documents or not status.chunks:
        raise InvalidInput(
            f"the collection at {status.path} has no passages to measure",
            expected="a sample of the documents that are to come",
            hint="index some hundred of them first: gnomon index PATH --into COLLECTION",
        )
    space = kb.version.space
    chunks = round(documents * status.chunks / status.documents)
    tokens = round(documents * status.tokens / status.documents)
    sample, speed = _core_speed(kb, kb.encoder)
    seconds = chunks * (WRITE_S_PER_TEXT + INDEX_S_PER_CHUNK) + (tokens / speed if speed else 0.0)
    core_hours = seconds / 3600
    words = next((each.bytes for each in status.derived if each.name == "lexical"), 0)
    return ScalePlan(
        documents=documents,
        chunks=chunks,
        tokens=tokens,
        dim=space.dim,
        model=kb.version.model,
        sample=sample,
        tokens_per_core_second=speed,
        core_hours=core_hours,
        hours=hours,
        cores=max(1, math.ceil(core_hours / hours)),
        hours_here=core_hours / (os.cpu_count() or 1),
        cost=_cost(kb.encoder, tokens, core_hours, core_price=core_price, price=price),
        catalog_bytes=round(chunks * status.catalog_bytes / status.chunks),
        words_bytes=round(chunks * words / status.chunks),
        engines=engine_estimates(space, chunks, store),
    )


def _core_speed(kb: Collection, encoder: Encoder) -> tuple[int, float]:
    """How many texts were measured, and tokens a second of one core: by CPU time. A server is sent nothing."""
    if isinstance(encoder, MeteredEncoder):
        return 0, 0.0
    ids = kb.ids()
    step = max(1, len(ids) // _DOCUMENTS_READ)
    texts = [chunk.embed_text for document in ids[::step] for chunk in kb.chunks(document)]
    speed = measure_speed(encoder, texts)
    return speed.texts, speed.tokens / speed.cpu_seconds if speed.cpu_seconds else 0.0


def _cost(
    encoder: Encoder, tokens: int, core_hours: float, *, core_price: float | None, price: float | None
) -> float | None:
    own = price if price is not None else getattr(encoder, "price", None)
    parts = [tokens / 1e6 * own] if own is not None else []
    parts += [core_hours * core_price] if core_price is not None else []
    return sum(parts) if parts else None


_GRAPH_LINKS = 16
"""M of an HNSW graph, the default of all these engines; each vector has 2 M links at the lowest level."""


def _local(space: Space, chunks: int) -> tuple[int, int]:
    disk = dense_bytes(chunks, space)
    if disk == 0:  # too few for codes: all vectors are read into memory
        return chunks * record_type(space.vector_type, space.dim).itemsize, 0
    codes = disk if space.similarity == "maxsim" else scan_code_bytes(chunks, space.dim, space.similarity)
    return codes, disk


def _pgvector(space: Space, chunks: int) -> tuple[int, int]:
    # Element tuples with a halfvec, and neighbour tuples with 2 M + M / (1 - 1 / M) item pointers of 6 bytes.
    graph = 2 * space.dim + 8 + 68 + 24 + 6 * (2 * _GRAPH_LINKS + 2)
    row = 2 * space.dim + 8 + 120
    return chunks * graph, chunks * (graph + row)


def _qdrant(space: Space, chunks: int) -> tuple[int, int]:
    size = round(chunks * space.dim * 4 * 1.5)
    return size, size


def _weaviate(space: Space, chunks: int) -> tuple[int, int]:
    return chunks * space.dim * 4 * 2, chunks * space.dim * 4 * 2


def _milvus(space: Space, chunks: int) -> tuple[int, int]:
    graph = round(1.1 * chunks * (4 * space.dim + 8 * _GRAPH_LINKS))
    return graph, graph + chunks * 4 * space.dim


def _lancedb(space: Space, chunks: int) -> tuple[int, int]:
    codes = chunks * (space.dim // 16 + 8)
    return codes, chunks * 4 * space.dim + codes


def _pinecone(space: Space, chunks: int) -> tuple[int, int]:
    return 0, chunks * (4 * space.dim + 100)


def _faiss(space: Space, chunks: int) -> tuple[int, int]:
    graph = chunks * (4 * space.dim + 8 * _GRAPH_LINKS)
    return graph, graph


_ENGINES: dict[str, tuple[Callable[[Space, int], tuple[int, int]], str, Origin]] = {
    "local": (_local, "codes of the scan; the vectors are the catalog's", "calculated"),
    "pgvector": (_pgvector, "halfvec with an HNSW graph of 16 links, in shared buffers", "calculated"),
    "qdrant": (_qdrant, "vectors x dimensions x 4 bytes x 1.5, all in memory", "published"),
    "weaviate": (_weaviate, "vectors x dimensions x 4 bytes x 2", "published"),
    "milvus": (_milvus, "1.1 x (4 bytes x dimensions + 8 x M) a vector, HNSW, and the vectors on disk", "published"),
    "lancedb": (_lancedb, "product codes of a byte for 16 dimensions in memory, vectors on disk", "calculated"),
    "pinecone": (_pinecone, "serverless: stored bytes, 4 a dimension and 100 of metadata", "calculated"),
    "faiss": (_faiss, "4 bytes x dimensions and 8 x M a vector, HNSW", "published"),
}


def engine_estimates(space: Space, chunks: int, store: str | None = None) -> tuple[EngineEstimate, ...]:
    """What so many vectors of a space take, in each engine or in the one of a name.

    Raises InvalidInput for an engine that nothing is known of.
    """
    scheme = None if store is None else store.partition(":")[0]
    scheme = {"postgresql": "pgvector"}.get(scheme or "", scheme)
    if scheme is not None and scheme not in _ENGINES:
        raise InvalidInput(f"the size of a store {store!r}", expected=f"one of {', '.join(_ENGINES)}")
    found = []
    for engine, (rule, how, origin) in _ENGINES.items():
        if scheme in (None, engine):
            memory, disk = rule(space, chunks)
            found.append(EngineEstimate(engine, memory, disk, how, origin))
    return tuple(found)
