"""Import of what `export_collection` wrote: the same documents, passages, settings and vectors; nothing is embedded."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, select

from gnomon.collection.catalog import mutations, queries, schema, vector_cache, versions
from gnomon.collection.catalog.canaries import TOLERANCE, Canaries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.spaces import require_same
from gnomon.collection.loading import VectorForm, load_in_form
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Encoder, Role
from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import CollectionDamaged, GnomonError, InvalidInput
from gnomon.core.files import is_file
from gnomon.core.locations import Location, Locations
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.core.vectors import Vectors
from gnomon.doctor.identify_model import local_folder
from gnomon.exchange import manifest as manifests
from gnomon.exchange import tables
from gnomon.exchange.manifest import ExportedSpace, Manifest
from gnomon.text.parts import ChunkedDocument


def check_model(
    manifest: Manifest, model: str | None, encoder: Encoder | None, *, progress: ProgressCallback
) -> tuple[bool, str]:
    """Whether the model that made the vectors was there and makes its canaries still, with a note where it was not.

    `model` is where it lies here, None for the place that the manifest names. Raises SpaceMismatch where it is another.
    """
    dense, name = manifest.dense, model or manifest.dense.model
    if encoder is None:
        if model is None and local_folder(name) is None:
            return False, f"the model {name} is not on this machine: the first search loads it and checks it"
        try:
            encoder = load_in_form(name, VectorForm.of(dense.value), threads=None, progress=progress)
        except GnomonError as error:
            if model is not None:
                raise
            return False, f"the model {name} could not be checked: {error.message}"
    require_same(dense.value, encoder.space, name)
    roles: tuple[Role, ...] = ("document", "query")
    texts = tuple((role, each.text) for each in dense.canaries for role in roles if role == each.role)
    rows = [np.frombuffer(bytes.fromhex(each.vector), dtype="<f4") for each in dense.canaries]
    if texts:
        Canaries(texts, np.stack(rows), dense.tolerance or TOLERANCE).check(encoder)
    return True, ""


def restore(
    folder: Path, catalog: Catalog, manifest: Manifest, *, model: str | None, progress: ProgressCallback
) -> dict[str, int]:
    """Write an exported collection into a new catalog, in one transaction. Returns the rows of each table.

    Raises CollectionDamaged where the tables do not fit each other, and what a catalog raises.
    """
    return catalog.transact(
        lambda connection: _Restore(folder, connection, manifest, model=model, progress=progress).run()
    )


class _Restore:
    def __init__(
        self, folder: Path, connection: Connection, manifest: Manifest, *, model: str | None, progress: ProgressCallback
    ) -> None:
        self._folder, self._connection, self._manifest = folder, connection, manifest
        self._model, self._progress = model, progress
        self._space = manifest.dense.value
        self._counts = {tables.DOCUMENTS: 0, tables.CHUNKS: 0, tables.SOURCES: 0}

    def run(self) -> dict[str, int]:
        connection, manifest = self._connection, self._manifest
        if (live := versions.live_version(connection)) is not None:
            raise InvalidInput(
                f"the collection to import into was made with {live.space.short} already",
                expected="a new collection",
                hint="import into another folder: --into NEW",
            )
        self._space_id = self._add_space(manifest.dense, self._model)
        self._sparse_id = 0 if manifest.sparse is None else self._add_space(manifest.sparse, None)
        self._further = {space.value.fingerprint: self._add_space(space, None) for space in manifest.spaces}
        self._chunking_id = self._add_version()
        self._insert(schema.fields, [{"name": f.name, "type": f.type, "known": f.known} for f in manifest.fields])
        mutations.keep_roots(connection, manifest.roots)
        for columns in self._rows(tables.SOURCES):
            self._insert(schema.sources, _records(columns))
            self._counts[tables.SOURCES] += len(columns["path"])
        chunks = self._chunks()
        ahead = next(chunks, None)
        for columns in self._rows(tables.DOCUMENTS):
            batch = []
            for record in _records(columns):
                own = []
                while ahead is not None and ahead.document_id == record["id"]:
                    own.append(ahead)
                    ahead = next(chunks, None)
                batch.append((record, ChunkedDocument(_document(record), tuple(own))))
            self._write(batch)
        self._require_whole(ahead)
        return self._counts

    def _add_space(self, exported: ExportedSpace, model: str | None) -> int:
        connection, space = self._connection, exported.value
        values = {
            "fingerprint": space.fingerprint,
            "space": json.dumps(space.to_json(), sort_keys=True),
            "model": model or exported.model,
            "tolerance": exported.tolerance,
        }
        new = insert(schema.spaces).values(**values).returning(schema.spaces.c.id)
        space_id = int(connection.execute(new).scalar_one())
        canaries = [(each.role, each.text, bytes.fromhex(each.vector)) for each in exported.canaries]
        rows = [{"space_id": space_id, "role": r, "text": t, "vector": v} for r, t, v in canaries]
        self._insert(schema.canaries, rows)
        return space_id

    def _add_version(self) -> int:
        """Insert tokenizer, chunking and version. Returns the chunking's row id."""
        connection, chunking = self._connection, dict(self._manifest.chunking)
        digest, tokenizer = chunking.get("tokenizer"), self._folder / manifests.TOKENIZER
        if digest is not None and is_file(tokenizer):
            body = zlib.compress(tokenizer.read_bytes(), 6)
            self._insert(schema.tokenizers, [{"digest": digest, "body": body}])
        text = json.dumps(chunking, sort_keys=True)
        new = insert(schema.chunkings).values(settings=text).returning(schema.chunkings.c.id)
        chunking_id = int(connection.execute(new).scalar_one())
        # An engine's collection is that of the catalog it was filled from: the new one begins with a local index.
        retrieval = replace(RetrievalSettings.from_json(self._manifest.retrieval), store=None)
        versions.create(connection, "live", chunking_id, space=self._space_id, retrieval=retrieval)
        return chunking_id

    def _insert(self, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert(table), rows)

    def _rows(self, name: str) -> Iterator[dict[str, Any]]:
        return tables.read_table(self._folder, name, self._manifest.format)

    def _chunks(self) -> Iterator[Chunk]:
        """The chunks in their order; their vectors are put into the cache as they are read."""
        settings = RetrievalSettings.from_json(self._manifest.retrieval)
        further = tables.further_columns([space.value for space in self._manifest.spaces], settings)
        for columns in self._rows(tables.CHUNKS):
            records = _records({name: values for name, values in columns.items() if not name.startswith(_NUMBERS)})
            hashes = [bytes.fromhex(record["text_sha256"]) for record in records]
            put = vector_cache.put
            ids = (self._space_id, *(self._further[space.fingerprint] for space in further.values()))
            for space_id, (name, space) in zip(ids, {"vector": self._space, **further}.items(), strict=True):
                vectors = _vectors(columns[name], space)
                put(self._connection, space_id, "document", hashes=hashes, vectors=vectors)
            if self._manifest.sparse is not None:
                pairs = zip(columns["sparse_dims"], columns["sparse_weights"], strict=True)
                rows = [(d.values.to_numpy(), w.values.to_numpy()) for d, w in pairs]
                sparse = SparseVectors.of(rows, self._manifest.sparse.value)
                vector_cache.put_sparse(self._connection, self._sparse_id, "document", hashes=hashes, vectors=sparse)
            yield from (_chunk(record) for record in records)

    def _write(self, batch: Sequence[tuple[dict[str, Any], ChunkedDocument]]) -> None:
        """Documents with their chunks; the text that was embedded is found by its digest."""
        paths = sorted({record["file"] for record, _ in batch if record["file"] is not None})
        source = schema.sources.c
        ids: dict[str, int] = {}
        for at in range(0, len(paths), schema.IN_VALUES):
            found = select(source.path, source.id).where(source.path.in_(paths[at : at + schema.IN_VALUES]))
            ids |= {row.path: row.id for row in self._connection.execute(found)}
        files = {record["id"]: ids.get(record["file"]) for record, _ in batch}
        documents = [ChunkedDocument(each.document, _embedded(each)) for _, each in batch]
        mutations.write_documents(self._connection, self._chunking_id, documents, files=files)
        self._counts[tables.DOCUMENTS] += len(documents)
        self._counts[tables.CHUNKS] += sum(len(each.chunks) for each in documents)
        total = self._manifest.counts.get(tables.DOCUMENTS)
        self._progress(Progress("importing", self._counts[tables.DOCUMENTS], total, "document"))

    def _require_whole(self, left: Chunk | None) -> None:
        found = {**self._counts, tables.DOCUMENTS: queries.count(self._connection, schema.documents)}
        if left is not None:
            raise _unfit(self._folder, f"a passage of {left.document_id!r} is not after its document")
        for name, wanted in self._manifest.counts.items():
            if found.get(name, wanted) != wanted:
                raise _unfit(self._folder, f"{found[name]:,} {name} of the {wanted:,} that the manifest counts")


_NUMBERS = ("vector", "sparse_")


def _vectors(column: Any, space: Space) -> Vectors:
    dim = space.dim
    if space.similarity != "maxsim":
        flat = column.flatten().to_numpy(zero_copy_only=False)
        return Vectors(flat.astype(np.float32).reshape(-1, dim), space)
    items = [each.values.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim) for each in column]
    return Vectors.of_items([item.astype(np.float32) for item in items], space)


def _records(columns: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {name: values.to_pylist() for name, values in columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


def _document(record: dict[str, Any]) -> Document:
    return Document(
        id=record["id"],
        text=record["text"],
        title=record["title"],
        source=record["source"],
        media_type=record["media_type"],
        metadata=json.loads(record["metadata"]),
        locations=Locations.parse(record["locations"]),
    )


def _chunk(record: dict[str, Any]) -> Chunk:
    """A chunk whose `embed_text` is still the digest of what was embedded."""
    names = ("ordinal", "start", "end", "text", "tokens")
    return Chunk(
        document_id=record["document"],
        embed_text=record["text_sha256"],
        heading=tuple(record["heading"]),
        location=Location.parse(record["location"]),
        **{name: record[name] for name in names},
    )


def _embedded(document: ChunkedDocument) -> tuple[Chunk, ...]:
    made = []
    for chunk in document.chunks:
        possible = queries.embedded_texts(document.document.title, chunk.heading, chunk.text)
        digest = bytes.fromhex(chunk.embed_text)
        text = next((text for text in possible if vector_cache.hash_of(text) == digest), None)
        if text is None or document.document.text[chunk.start : chunk.end] != chunk.text:
            raise CollectionDamaged(
                f"passage {chunk.ordinal} of {chunk.document_id!r} is not the one that was embedded",
                expected="the texts as they were exported",
                hint="export the collection anew: gnomon export COLLECTION --to FOLDER.parquet",
            )
        made.append(replace(chunk, embed_text=text))
    return tuple(made)


def _unfit(folder: Path, what: str) -> CollectionDamaged:
    return CollectionDamaged(
        f"{folder}: {what}",
        expected="tables of one collection",
        hint="export the collection anew: gnomon export COLLECTION --to FOLDER.parquet",
    )
