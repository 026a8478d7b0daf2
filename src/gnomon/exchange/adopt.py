"""Import from another vector store: each of its texts becomes a document of one passage, with its vector.

What these stores keep are passages that overlap, not the documents that they were cut from; what they know of those is
in the metadata, which is kept. Vectors are taken over where one model made all of a sample, as documents are encoded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection import Collection, CollectionSettings, open_collection
from gnomon.collection.catalog import mutations, schema, vector_cache
from gnomon.collection.ingest.writer import Target, embed_all, lacking
from gnomon.collection.inputs import as_document
from gnomon.collection.settings import DEFAULT_MODEL
from gnomon.core.batching import in_blocks
from gnomon.core.budget import Budget
from gnomon.core.contracts import Array, Encoder
from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.similarity import normalise
from gnomon.core.vectors import Vectors
from gnomon.doctor.stores.examine import StorePart, StoreSettings, examine_part, store_sources
from gnomon.doctor.stores.pgvector import without_password
from gnomon.doctor.stores.source import StoreSource, VectorBatch
from gnomon.exchange.settings import ImportReport, ImportSettings
from gnomon.exchange.target import new_collection
from gnomon.text.parts import ChunkedDocument

_SOURCES = ("source", "file_path", "file_name", "url")
"""Where LangChain's and LlamaIndex's readers say what a text is of."""
_TRUNCATED = "truncated to "


def adopt(
    place: str | Path,
    into: str | Path,
    settings: ImportSettings,
    *,
    encoder: Encoder | None,
    progress: ProgressCallback,
) -> ImportReport:
    """Import another store; see `import_collection`."""
    looked = StoreSettings(settings.text, settings.vector, settings.texts, metadata=True, progress=progress)
    kind, sources = store_sources(place, looked)
    source = _chosen(sources, settings.part)
    if not source.has_texts:
        raise InvalidInput(
            f"{source.name} has vectors and no texts",
            expected="the texts: a collection is searched by words too, and shows what it finds",
            hint="name the file or the column that has them: --texts FILE, --text COLUMN",
        )
    models: list[str | Path | Encoder] = [encoder] if encoder is not None else []
    models = models or ([settings.model] if settings.model else [])
    part = examine_part(source, models, looked)
    model, dim = _model(part, settings, encoder)
    with new_collection(into, check=settings.check) as target:
        run = _Adoption(source, part, settings, progress=progress)
        if settings.check:
            run.count()
        else:
            made_with = CollectionSettings(model=None if encoder is not None else model, dim=dim)
            with open_collection(into, settings=made_with, encoder=encoder, progress=progress) as kb:
                run.write(kb)
    notes = [] if part.model is None else [part.model.summary]
    return ImportReport(
        source=without_password(str(place)) if kind == "postgresql" else str(place),
        kind=kind,
        into=str(target),
        documents=run.documents,
        chunks=run.chunks,
        space=run.space,
        model=model,
        is_checked=not settings.embed,
        vectors="embedded" if settings.embed else "taken",
        skipped=run.skipped,
        notes=(*notes, *part.notes),
    )


def _chosen(sources: Sequence[StoreSource], named: str) -> StoreSource:
    found = [source for source in sources if named in ("", source.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(source.name for source in sources) or "none"
    raise InvalidInput(
        f"no part {named!r}" if named and sources else f"a store of {len(sources)} parts",
        expected=f"one of its parts: {names}",
        hint=f"name it: --part {sources[0].name}" if sources else "",
    )


def _model(part: StorePart, settings: ImportSettings, encoder: Encoder | None) -> tuple[str, int | None]:
    """The name of the model for the collection, and its dimensions where they are not all of them.

    Raises InvalidInput where vectors are to be taken over and no one model made them as it encodes documents.
    """
    named = encoder.space.name if encoder is not None else settings.model
    if settings.embed:
        known = part.model.models[0].model if part.model is not None and part.model.verdict == "one" else None
        return named or known or DEFAULT_MODEL, None
    found = part.model
    if found is not None and found.verdict == "one":
        first = found.models[0]
        if not first.how:
            return first.model, None
        if first.how.startswith(_TRUNCATED):
            return first.model, part.dim
    what = found.summary if found is not None else "; ".join(part.notes)
    raise InvalidInput(
        f"the vectors of {part.name} cannot be taken over: {what}",
        expected="one model that made all of them, as it encodes documents",
        hint="name the model with --model, or embed the texts anew: --embed",
    )


@dataclass(frozen=True)
class _Row:
    """A document with its passages, and the vector of the only one that the store has, None without a usable one."""

    chunked: ChunkedDocument
    vector: Array | None = None


class _Adoption:
    """First all vectors go into the catalog, then the documents in one transaction."""

    def __init__(
        self, source: StoreSource, part: StorePart, settings: ImportSettings, *, progress: ProgressCallback
    ) -> None:
        self._source, self._part, self._settings, self._progress = source, part, settings, progress
        self.documents = self.chunks = self.skipped = 0
        self.space = ""

    def count(self) -> None:
        """Count what would be imported."""
        for batch in self._source.rows():
            found = [_document(batch, at) for at in range(len(batch.ids))]
            self.documents += sum(each is not None for each in found)
            self.skipped += sum(each is None for each in found)
        self.chunks = self.documents

    def write(self, kb: Collection) -> None:
        """Fill an empty collection."""
        internals, version = kb.internals, kb.version
        target, catalog = internals.serving.target(version.id), internals.catalog
        self.space = version.space.short
        done = 0
        for rows in self._batches(target):
            taken = {row.chunked.chunks[0].text_hash: row.vector for row in rows if row.vector is not None}
            if taken:
                vectors = Vectors(np.stack([v for v in taken.values() if v is not None]), version.space)
                with catalog.write() as connection:
                    space = version.space_id
                    vector_cache.put(connection, space, "document", hashes=list(taken), vectors=vectors)
            chunks = [chunk for row in rows for chunk in row.chunked.chunks]
            embed_all(catalog, target, chunks, budget=Budget(), progress=lambda _: None)
            done += len(rows)
            self._progress(Progress("vectors", done, self._part.rows, "row"))
        self.skipped = 0
        with catalog.write() as connection:
            for rows in self._batches(target):
                self._put(connection, target, [row.chunked for row in rows])
                self._progress(Progress("importing", self.documents, self._part.rows, "document"))

    def _put(self, connection: Connection, target: Target, documents: Sequence[ChunkedDocument]) -> None:
        _require_new(connection, [each.document.id for each in documents])
        chunks = [chunk for each in documents for chunk in each.chunks]
        if lacking(connection, target.version, [chunk.text_hash for chunk in chunks]):
            raise InvalidInput(
                f"{self._source.name} changed while it was read",
                expected="a store that nobody writes to",
                hint="stop its writers, then import it again",
            )
        mutations.write_documents(connection, target.version.chunking_id, documents)
        self.documents += len(documents)
        self.chunks += len(chunks)

    def _batches(self, target: Target) -> Iterator[list[_Row]]:
        for batch in self._source.rows():
            documents = [_document(batch, at) for at in range(len(batch.ids))]
            self.skipped += sum(each is None for each in documents)
            kept = [(each, at) for at, each in enumerate(documents) if each is not None]
            if not kept:
                continue
            if self._settings.embed:
                yield [_Row(ChunkedDocument(each, tuple(target.chunker.chunk(each)))) for each, _ in kept]
                continue
            counts = target.encoder.count_tokens([each.text for each, _ in kept], role="document")
            yield [
                _Row(ChunkedDocument(each, (_whole(each, tokens),)), _usable(batch.vectors[at], target))
                for (each, at), tokens in zip(kept, counts, strict=True)
            ]


def _document(batch: VectorBatch, at: int) -> Document | None:
    """A row as a document; None where it has no text. Raises InvalidInput for an id or metadata that cannot be kept."""
    text = batch.texts[at]
    if text is None or not text.strip():
        return None
    metadata: dict[str, Any] = dict(batch.metadata[at]) if batch.metadata else {}
    source = next((metadata.pop(name) for name in _SOURCES if isinstance(metadata.get(name), str)), "")
    title = metadata.pop("title", "") if isinstance(metadata.get("title"), str) else ""
    metadata = {name: value for name, value in metadata.items() if name}
    row = {"id": batch.ids[at], "text": text, "title": title, "source": source, "metadata": metadata}
    return as_document(row)


def _whole(document: Document, tokens: int) -> Chunk:
    """A document as its only passage, embedded as it stands."""
    return Chunk(document.id, 0, 0, len(document.text), document.text, document.text, tokens)


def _usable(vector: Array | None, target: Target) -> Array | None:
    """A vector of the space; None where the text is to be embedded instead."""
    space = target.version.space
    if vector is None or vector.shape != (space.dim,) or not np.isfinite(vector).all():
        return None
    if space.similarity != "cosine":
        return vector
    return normalise(vector[None])[0] if vector.any() else None


def _require_new(connection: Connection, keys: Sequence[str]) -> None:
    """Raise InvalidInput for an id that is there twice."""
    twice = {key for key in keys if keys.count(key) > 1} if len(set(keys)) < len(keys) else set[str]()
    document = schema.documents.c
    for block in in_blocks(keys, schema.IN_VALUES):
        twice |= set(connection.execute(select(document.key).where(document.key.in_(block))).scalars())
    if twice:
        raise InvalidInput(
            f"the id {min(twice)!r} is that of several rows",
            expected="an id for each row",
            hint="name the column that tells rows apart, or remove the copies there",
        )
