"""The tables of an exported folder: their schemas, and how rows are streamed to and from Parquet files and Lance."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gnomon.collection.settings import RetrievalSettings
from gnomon.core.errors import CollectionDamaged, missing_extra
from gnomon.core.space import Space
from gnomon.exchange.manifest import Format

if TYPE_CHECKING:
    import pyarrow as pa

DOCUMENTS, CHUNKS, SOURCES = "documents", "chunks", "sources"
_BATCH_ROWS = 512
_ROW_GROUP = 8192
"""Rows of a row group: what a reader, and the writer, hold at a time."""


def pyarrow() -> Any:
    """The package. Raises InvalidInput that names the extra."""
    try:
        arrow = import_module("pyarrow")
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise missing_extra("pyarrow", extra="data") from error
    return arrow


def documents_schema() -> pa.Schema:
    """A document a row, in the order in which they were last written. `metadata` and `locations` are JSON.

    `file` is the path of the indexed file that it is of, null for one that was added by hand.
    """
    pa = pyarrow()
    names = ("id", "title", "text", "source", "media_type", "metadata", "locations", "file")
    return pa.schema([pa.field(name, pa.string(), nullable=name == "file") for name in names])


def sources_schema() -> pa.Schema:
    """An indexed file a row: what tells whether it changed."""
    pa = pyarrow()
    numbers = [(name, pa.int64()) for name in ("size", "mtime_ns", "ctime_ns")]
    return pa.schema([("path", pa.string()), *numbers, ("sha256", pa.string())])


def further_columns(spaces: Sequence[Space], settings: RetrievalSettings) -> dict[str, Space]:
    """The columns of further spaces of which each passage has a vector: `vector_1` and so on, as they are set."""
    pairs = enumerate(zip(spaces, settings.spaces, strict=True), start=1)
    return {f"vector_{at}": space for at, (space, one) in pairs if one.place == "beside"}


def chunks_schema(
    space: Space, kind: str, *, sparse: Space | None, further: Mapping[str, Space] = MappingProxyType({})
) -> pa.Schema:
    """A chunk a row, in the order of documents. `start` and `end` are offsets of characters in the document's text.

    `text_sha256` is of what was embedded: the text, maybe with title and headings before it. `vector` has the space's
    dimensions as numbers of `kind` (of late interaction a list of such vectors), `sparse_dims` and `sparse_weights` are
    there where the version has a sparse encoder, and the columns of `further` spaces. The space is in the schema's
    metadata.
    """
    pa = pyarrow()
    number = pa.float16() if kind == "float16" else pa.float32()
    vector = pa.list_(number, space.dim)
    fields = [("document", pa.string()), ("ordinal", pa.int64()), ("start", pa.int64()), ("end", pa.int64())]
    fields += [("text", pa.string()), ("heading", pa.list_(pa.string())), ("tokens", pa.int64())]
    fields += [("location", pa.string()), ("text_sha256", pa.string())]
    fields += [("vector", pa.list_(vector) if space.similarity == "maxsim" else vector)]
    if sparse is not None:
        fields += [("sparse_dims", pa.list_(pa.int32())), ("sparse_weights", pa.list_(pa.float32()))]
    fields += [(name, pa.list_(number, own.dim)) for name, own in further.items()]
    notes = {"gnomon.space": json.dumps(space.to_json(), sort_keys=True)}
    return pa.schema(fields, metadata=notes)


def write_table(folder: Path, name: str, batches: Iterable[Any], *, schema: pa.Schema, kind: Format) -> None:
    """Write batches of rows as they come. Raises OSError, and InvalidInput where the format's package is missing."""
    if kind == "parquet":
        _write_parquet(folder / f"{name}.parquet", batches, schema)
        return
    made = _Batches(batches)
    reader = pyarrow().RecordBatchReader.from_batches(schema, made)
    try:
        _lancedb().connect(str(folder)).create_table(name, data=reader, schema=schema, mode="overwrite")
    except (OSError, ValueError, RuntimeError) as error:
        if made.error is None:
            raise
        raise made.error from error  # Lance turns what the batches raised into an error of its own


class _Batches:
    """Batches, and the error that ended them."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches
        self.error: BaseException | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batches
        except BaseException as error:
            self.error = error
            raise


def read_table(folder: Path, name: str, kind: Format, *, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Batches of rows in their order, as columns by name. Raises CollectionDamaged where it cannot be read."""
    pa = pyarrow()
    try:
        if kind == "parquet":
            with pa.parquet.ParquetFile(folder / f"{name}.parquet") as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=columns):
                    yield dict(zip(batch.schema.names, batch.columns, strict=True))
        else:
            table = _lancedb().connect(str(folder)).open_table(name)
            query = table.search().limit(max(1, table.count_rows()))
            query = query if columns is None else query.select(columns)
            for batch in query.to_batches(_BATCH_ROWS):
                yield dict(zip(batch.schema.names, batch.columns, strict=True))
    except (pa.ArrowException, ValueError, RuntimeError) as error:
        raise CollectionDamaged(
            f"{folder / name}: {str(error).splitlines()[0]}",
            expected="a table as gnomon export wrote it",
            hint="copy the folder again, or export the collection anew: gnomon export COLLECTION --to FOLDER.parquet",
        ) from error


def _write_parquet(path: Path, batches: Iterable[Any], schema: pa.Schema) -> None:
    """Row groups of some thousand rows. Vectors are not compressed: they would not become smaller."""
    pa = pyarrow()
    plain = [name for name in schema.names if not name.startswith("vector") and name != "sparse_weights"]
    repeated = [name for name in ("document", "media_type", "file") if name in schema.names]
    options = {"compression": dict.fromkeys(plain, "zstd"), "use_dictionary": repeated}
    held: list[Any] = []
    with pa.parquet.ParquetWriter(path, schema, **options) as writer:
        for batch in batches:
            held.append(batch)
            if sum(each.num_rows for each in held) >= _ROW_GROUP:
                writer.write_table(pa.Table.from_batches(held, schema))
                held = []
        if held:
            writer.write_table(pa.Table.from_batches(held, schema))


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise missing_extra("lancedb", extra="lancedb") from error
    return lancedb
