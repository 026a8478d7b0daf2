"""The further spaces of a version: their models, and the vectors of a second stage, made when they are needed."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from gnomon.collection.catalog import queries, vector_cache
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.versions import Version
from gnomon.collection.serving.encoders import EncoderPool
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.core.files import is_folder
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.text.chunk import ChunkSettings

_HELD = 20_000
"""Vectors of a second stage that are held in memory where the catalog cannot keep them."""


def resolve_spaces(
    settings: RetrievalSettings, first: Space, load: Callable[[str, Space], Encoder]
) -> RetrievalSettings:
    """The settings with the fingerprint of each further space, once it is certain that it can be one.

    `load` gives the encoder of a name, with vectors in the form of a space: of `first` with all dimensions. Raises
    InvalidInput for a model that is there twice or has several vectors a text, and what loading raises.
    """
    found, seen, form = [], {first.fingerprint: first.short}, replace(first, parent=None)
    for one in settings.spaces:
        if not one.fingerprint:
            folder = Path(one.model).expanduser()
            name = str(folder.resolve()) if is_folder(folder) else one.model
            space = load(name, form).space
            space.require_one_vector("a further space")
            one = replace(one, model=name, fingerprint=space.fingerprint)
        if one.fingerprint in seen:
            raise InvalidInput(
                f"the model {one.model} twice",
                expected="a further model that makes other vectors than those that are there",
                hint="name another model, of another family: gnomon models lists some",
            )
        seen[one.fingerprint] = one.model
        found.append(one)
    return replace(settings, spaces=tuple(found))


def warn_of_long_chunks(encoder: Encoder, chunking: ChunkSettings) -> None:
    """Warn TruncatedText where chunks may be longer than a further model reads: their ends are not in its vectors."""
    if chunking.max_tokens > encoder.max_tokens:
        warnings.warn(
            f"passages have up to {chunking.max_tokens} tokens, and {encoder.space.short} reads the first "
            f"{encoder.max_tokens}: what comes after is not in its vectors; take smaller passages (--chunk-tokens "
            f"{encoder.max_tokens}) or another further model",
            TruncatedText,
            stacklevel=3,
        )


class SecondStageVectors:
    """Vectors of passages in a further space: a VectorsOf. Those that the cache lacks are made and kept there.

    Where the catalog is read-only the latest 20,000 are held in memory instead. Thread-safe.
    """

    def __init__(self, catalog: Catalog, version: Version, pool: EncoderPool) -> None:
        self._catalog, self._version, self._pool = catalog, version, pool
        self._held: OrderedDict[int, Array] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, ids: Array) -> tuple[Array, Vectors]:
        """Those of the ids (rising) that have a text, and their vectors in that order."""
        space_id, space = self._version.space_id, self._version.space
        with self._catalog.read() as connection:
            there, vectors = queries.vectors_of(connection, space_id, space, ids=ids)
        lacking = np.setdiff1d(ids, there)
        if not len(lacking):
            return there, vectors
        with self._lock:  # so that no text is encoded twice
            more, made = self._made(lacking)
        every = np.concatenate([there, more])
        order = np.argsort(every)
        return every[order], Vectors.concatenate([vectors, made]).take(order)

    def _made(self, ids: Array) -> tuple[Array, Vectors]:
        held = {at: self._held[at] for at in ids.tolist() if at in self._held}
        space_id, space = self._version.space_id, self._version.space
        with self._catalog.read() as connection:
            there, vectors = queries.vectors_of(connection, space_id, space, ids=ids)  # made since by another thread
            lacking = np.setdiff1d(ids, [*there.tolist(), *held])
            keys = {at: key for pairs in queries.ids_and_hashes(connection, lacking) for at, key in pairs}
            texts = {chunk.text_hash: chunk.embed_text for chunk in queries.chunks_of(connection, list(keys))}
        made = dict(zip(there.tolist(), vectors.data, strict=True)) | held
        if texts:
            own = self._pool.encoder.encode(list(texts.values()), role="document")
            rows = dict(zip(texts, own.data, strict=True))
            fresh = {at: rows[key] for at, key in keys.items()}
            self._keep(fresh, list(texts), own)
            made |= fresh
        known = np.array(sorted(made), dtype=np.int64)
        return known, Vectors.of_items([made[at] for at in known.tolist()], space)

    def _keep(self, rows: dict[int, Array], hashes: list[bytes], vectors: Vectors) -> None:
        if not self._catalog.is_read_only:
            put = partial(vector_cache.put, space_id=self._version.space_id, role="document")
            self._catalog.transact(partial(put, hashes=hashes, vectors=vectors))
            return
        self._held.update(rows)
        while len(self._held) > _HELD:
            self._held.popitem(last=False)
