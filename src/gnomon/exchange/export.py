"""Export: one version of a collection as tables in an open format, with all that it takes to make it again."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection import Collection, Version
from gnomon.collection.catalog import fields, queries, schema, vector_cache, versions
from gnomon.collection.catalog.chunk_texts import BODY, with_texts
from gnomon.core.contracts import Array
from gnomon.core.errors import CollectionDamaged, InvalidInput
from gnomon.core.files import exists, replacing_folder, storage_errors
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.vectors import Vectors
from gnomon.core.version import __version__
from gnomon.exchange import manifest as manifests
from gnomon.exchange import tables
from gnomon.exchange.manifest import ExportedCanary, ExportedField, ExportedSpace, Format, Manifest

_FORMATS: dict[str, Format] = {".parquet": "parquet", ".lance": "lance"}
_DOCUMENTS, _CHARACTERS = 256, 1_000_000
"""At most so many documents at a time, and characters of their texts (a longer one is alone): bounds memory."""


@dataclass(frozen=True)
class ExportReport:
    """What was written where: rows of each table, bytes of all files, and the type of the vectors' numbers."""

    folder: str
    format: Format
    version: str
    space: str
    documents: int
    chunks: int
    files: int
    bytes: int
    vectors: Literal["float16", "float32"]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


class _InexactError(Exception):
    """A vector that half precision does not hold."""


def export_collection(
    collection: Collection, to: str | Path, *, version: str | None = None, progress: ProgressCallback = no_progress
) -> ExportReport:
    """Write a version of a collection (the live one, or "v2") to a new folder that ends in .parquet or .lance.

    All of one moment: documents, chunks with their vectors, and indexed files, as tables that other programs read, and
    a manifest with the space, the settings and each file's SHA-256. Vectors are float16 where that keeps every number,
    else float32. The folder appears when it is whole. Memory is bounded, however large the collection.

    Raises InvalidInput for another ending, a folder that is there already, an unknown version, or a missing package;
    CollectionDamaged where a passage has no intact vector; StorageError.
    """
    target = Path(to).expanduser().absolute()
    kind = _format(target)
    with collection.internals.catalog.read() as connection:
        wanted = collection.version.name if version is None else version
        whole = versions.complete_version(connection, wanted)
        with storage_errors(target.parent), replacing_folder(target) as folder:
            made = _Export(connection, whole, folder, kind=kind, progress=progress).run()
    return ExportReport(
        folder=str(target),
        format=kind,
        version=whole.name,
        space=whole.space.short,
        documents=made.counts[tables.DOCUMENTS],
        chunks=made.counts[tables.CHUNKS],
        files=made.counts[tables.SOURCES],
        bytes=sum(file.bytes for file in made.files.values()),
        vectors=made.vectors,
    )


def _format(target: Path) -> Format:
    kind = _FORMATS.get(target.suffix)
    if kind is None:
        raise InvalidInput(
            f"the folder {target.name!r} to export to", expected=f"one that ends in {' or '.join(_FORMATS)}"
        )
    if exists(target):
        raise InvalidInput(f"{target} is there already", expected="a new folder", hint="name another, or remove it")
    return kind


class _Export:
    """One version, written into a folder within one read transaction."""

    def __init__(
        self, connection: Connection, version: Version, folder: Path, *, kind: Format, progress: ProgressCallback
    ) -> None:
        tables.pyarrow()
        self._connection, self._version, self._folder, self._kind = connection, version, folder, kind
        self._progress = progress
        self._counts = {tables.DOCUMENTS: 0, tables.CHUNKS: 0, tables.SOURCES: 0}
        self._total = queries.count(connection, schema.documents)

    def run(self) -> Manifest:
        self._write(tables.SOURCES, self._sources(), tables.sources_schema())
        self._write(tables.DOCUMENTS, self._documents(), tables.documents_schema())
        vectors = self._write_chunks()
        tokenizer = self._version.chunk_tokenizer
        if tokenizer is not None:
            table = schema.tokenizers.c
            body = self._connection.execute(select(table.body).where(table.digest == tokenizer.digest)).scalar_one()
            (self._folder / manifests.TOKENIZER).write_bytes(zlib.decompress(body))
        made = self._manifest(vectors)
        manifests.write_manifest(self._folder, made)
        return made

    def _manifest(self, vectors: Literal["float16", "float32"]) -> Manifest:
        version, connection = self._version, self._connection
        table = schema.chunkings.c
        chunking = select(table.settings).where(table.id == version.chunking_id)
        sparse = version.sparse
        return Manifest(
            format=self._kind,
            format_version=manifests.FORMAT_VERSION,
            gnomon=__version__,
            version=version.name,
            dense=_space(connection, version.space_id),
            sparse=None if sparse is None else _space(connection, sparse.space_id),
            spaces=tuple(_space(connection, model.space_id) for model in version.spaces),
            chunking=json.loads(connection.execute(chunking).scalar_one()),
            retrieval=version.retrieval.to_json(),
            vectors=vectors,
            counts=dict(self._counts),
            fields=tuple(ExportedField(one.name, one.type, one.known) for one in fields.kept(connection)),
            roots=queries.root_labels(connection),
            files={name: manifests.described(self._folder / name) for name in manifests.listed_files(self._folder)},
        )

    def _write(self, name: str, rows: Iterator[Sequence[dict[str, Any]]], columns: Any) -> None:
        pa = tables.pyarrow()

        def batches() -> Iterator[Any]:
            for block in rows:
                self._counts[name] += len(block)
                yield pa.RecordBatch.from_pylist(list(block), schema=columns)

        tables.write_table(self._folder, name, batches(), schema=columns, kind=self._kind)

    def _sources(self) -> Iterator[Sequence[dict[str, Any]]]:
        source = schema.sources.c
        columns = (source.path, source.size, source.mtime_ns, source.ctime_ns, source.sha256)
        found = self._connection.execute(select(*columns).order_by(source.id)).mappings()
        while rows := found.fetchmany(_DOCUMENTS):
            yield [dict(row) for row in rows]

    def _documents(self) -> Iterator[Sequence[dict[str, Any]]]:
        document, source = schema.documents.c, schema.sources.c
        wanted = (
            select(schema.documents, source.path)
            .join_from(schema.documents, schema.sources, source.id == document.source_id, isouter=True)
            .order_by(document.id)
        )
        for first, last in self._groups("exporting documents"):
            yield [_document(row) for row in self._connection.execute(wanted.where(document.id.between(first, last)))]

    def _write_chunks(self) -> Literal["float16", "float32"]:
        """As half precision, unless one vector is more precise: then all of them again as they are."""
        sparse = None if self._version.sparse is None else self._version.sparse.space
        further = tables.further_columns([model.space for model in self._version.spaces], self._version.retrieval)
        for number in ("float16", "float32"):
            columns = tables.chunks_schema(self._version.space, number, sparse=sparse, further=further)
            self._counts[tables.CHUNKS] = 0
            batches = self._chunks(columns, is_half=number == "float16")
            try:
                tables.write_table(self._folder, tables.CHUNKS, batches, schema=columns, kind=self._kind)
            except _InexactError:
                continue
            return "float16" if number == "float16" else "float32"
        raise AssertionError("float32 holds every vector")

    def _chunks(self, columns: Any, *, is_half: bool) -> Iterator[Any]:
        pa, version = tables.pyarrow(), self._version
        chunk, document = schema.chunks.c, schema.documents.c
        names = (chunk.ordinal, chunk.start, chunk.end, chunk.text, chunk.heading, chunk.tokens, chunk.location)
        wanted = (
            select(document.key.label("document"), *names, chunk.text_hash, BODY)
            .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
            .where(chunk.chunking_id == version.chunking_id)
            .order_by(document.id, chunk.ordinal)
        )
        for first, last in self._groups("exporting passages"):
            rows = with_texts(self._connection.execute(wanted.where(document.id.between(first, last))))
            if not rows:
                continue
            self._counts[tables.CHUNKS] += len(rows)
            hashes = [row.text_hash for row in rows]
            plain = {name: [getattr(row, name) for row in rows] for name in columns.names if hasattr(rows[0], name)}
            plain["heading"] = [json.loads(row.heading) for row in rows]
            plain["text_sha256"] = [key.hex() for key in hashes]
            made = {name: pa.array(values, columns.field(name).type) for name, values in plain.items()}
            further = tables.further_columns([model.space for model in version.spaces], version.retrieval)
            for name, own in zip(("vector", *further), (version, *version.beside), strict=True):
                made[name] = _vector_column(self._vectors(own, hashes), columns.field(name).type, is_half=is_half)
            if version.sparse is not None:
                made |= self._sparse_columns(version.sparse.space_id, hashes, columns)
            yield pa.RecordBatch.from_arrays([made[name] for name in columns.names], schema=columns)

    def _vectors(self, version: Version, hashes: Sequence[bytes]) -> Vectors:
        found = vector_cache.get(self._connection, version.space_id, "document", hashes=list(dict.fromkeys(hashes)))
        usable = vector_cache.usable(found, version.space)
        self._require_all(hashes, usable)
        return Vectors.of_items([usable[key] for key in hashes], version.space)

    def _sparse_columns(self, space_id: int, hashes: Sequence[bytes], columns: Any) -> dict[str, Any]:
        pa = tables.pyarrow()
        keys = list(dict.fromkeys(hashes))
        found = vector_cache.get_sparse(self._connection, space_id, "document", hashes=keys)
        self._require_all(hashes, found)
        return {
            name: pa.array([found[key][at] for key in hashes], columns.field(name).type)
            for at, name in enumerate(("sparse_dims", "sparse_weights"))
        }

    def _require_all(self, hashes: Sequence[bytes], found: Any) -> None:
        if lacking := sum(key not in found for key in hashes):
            raise CollectionDamaged(
                f"{lacking:,} passages of {self._version.name} have no intact vector",
                expected="a vector of each passage",
                hint="make them again: gnomon doctor COLLECTION --fix",
            )

    def _groups(self, stage: str) -> Iterator[tuple[int, int]]:
        """The first and last row ids of consecutive documents that are dealt with together."""
        document = schema.documents.c
        after, done = 0, 0
        page = select(document.id, document.characters).order_by(document.id).limit(_DOCUMENTS)
        while rows := self._connection.execute(page.where(document.id > after)).all():
            size, count = 0, 0
            for row in rows:
                if count and size + row.characters > _CHARACTERS:
                    break
                size, count = size + row.characters, count + 1
            yield rows[0].id, rows[count - 1].id
            after, done = rows[count - 1].id, done + count
            self._progress(Progress(stage, done, self._total, "document"))


def _document(row: Any) -> dict[str, Any]:
    document = queries.document_of(row)
    names = ("id", "title", "text", "source", "media_type")
    return {
        **{name: getattr(document, name) for name in names},
        "metadata": json.dumps(dict(document.metadata), ensure_ascii=False),
        "locations": row.locations,
        "file": row.path,
    }


def _vector_column(vectors: Vectors, kind: Any, *, is_half: bool) -> Any:
    """The vectors as an Arrow column. Raises _InexactError where half precision changes one."""
    pa = tables.pyarrow()
    data: Array = vectors.data
    if is_half:
        with np.errstate(over="ignore"):
            half = data.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), data):
            raise _InexactError
        data = half
    rows = pa.FixedSizeListArray.from_arrays(pa.array(data.reshape(-1)), vectors.space.dim)
    if vectors.starts is None:
        return rows.cast(kind)
    ends = np.append(vectors.starts, len(data)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), rows).cast(kind)


def _space(connection: Connection, space_id: int) -> ExportedSpace:
    table, canary = schema.spaces.c, schema.canaries.c
    row = connection.execute(select(schema.spaces).where(table.id == space_id)).one()
    kept = connection.execute(select(canary.role, canary.text, canary.vector).where(canary.space_id == space_id))
    canaries = tuple(ExportedCanary(each.role, each.text, each.vector.hex()) for each in kept)
    return ExportedSpace(json.loads(row.space), row.model, canaries, row.tolerance)
