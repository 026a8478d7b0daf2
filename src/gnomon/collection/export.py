"""Documents and chunks as tables of pyarrow and pandas, which are imported when they are used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.chunk_texts import BODY, with_texts
from gnomon.collection.catalog.versions import Version
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.errors import missing_extra

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 10_000
"""Rows that are Python objects at one time: bounds memory."""


def require_pandas() -> None:
    """Raise InvalidInput that names the extra where pandas is not installed."""
    if find_spec("pandas") is None:
        raise missing_extra("pandas", extra="data")


def documents_table(connection: Connection, keys: Sequence[str]) -> pa.Table:
    """The documents of these ids, in this order. Raises InvalidInput where pyarrow is not installed."""
    pa = _pyarrow()
    columns = pa.schema([(name, pa.string()) for name in ("id", "title", "text", "source", "media_type", "metadata")])
    tables = [columns.empty_table()]
    for block in in_blocks(keys, _BATCH_ROWS):
        found = queries.documents(connection, block)
        rows = [
            {name: getattr(found[key], name) for name in ("id", "title", "text", "source", "media_type")}
            | {"metadata": json.dumps(dict(found[key].metadata), ensure_ascii=False)}
            for key in block
            if key in found
        ]
        tables.append(pa.Table.from_pylist(rows, schema=columns))
    return pa.concat_tables(tables)


def chunks_table(connection: Connection, version: Version, ids: Array, *, vectors: bool) -> pa.Table:
    """A version's chunks of these ids (rising), maybe with their vectors: null where there is none.

    Raises InvalidInput where pyarrow is not installed.
    """
    pa = _pyarrow()
    texts = {"chunk_id": pa.int64(), "document": pa.string(), "ordinal": pa.int64(), "start": pa.int64()}
    texts |= {"end": pa.int64(), "text": pa.string(), "heading": pa.list_(pa.string()), "tokens": pa.int64()}
    vector_type = pa.list_(pa.float32(), version.space.dim)
    if version.space.similarity == "maxsim":
        vector_type = pa.list_(vector_type)
    columns = pa.schema(list((texts | ({"vector": vector_type} if vectors else {})).items()))
    tables = [columns.empty_table()]
    for block in in_blocks(ids, _BATCH_ROWS):
        rows = _chunk_rows(connection, block)
        table = pa.Table.from_pylist(rows, schema=pa.schema(list(texts.items())))
        if vectors:
            found, data = queries.vectors_of(connection, version.space_id, version.space, ids=block)
            # Of late interaction a list of vectors a chunk.
            items = list(data.data) if data.starts is None else [item.data.tolist() for item in data]
            of = dict(zip(found.tolist(), items, strict=True))
            table = table.append_column("vector", pa.array([of.get(row["chunk_id"]) for row in rows], vector_type))
        tables.append(table)
    return pa.concat_tables(tables)


def _chunk_rows(connection: Connection, ids: Array) -> list[dict[str, Any]]:
    chunk, document = schema.chunks.c, schema.documents.c
    columns = (chunk.ordinal, chunk.start, chunk.end, chunk.text, chunk.heading, chunk.tokens)
    wanted = (
        select(chunk.id.label("chunk_id"), document.key.label("document"), *columns, BODY)
        .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
        .order_by(chunk.id)
    )
    rows: list[dict[str, Any]] = []
    for block in in_blocks(ids.tolist(), schema.IN_VALUES):
        found = with_texts(connection.execute(wanted.where(chunk.id.in_(block))))
        rows += [{**vars(row), "heading": json.loads(row.heading)} for row in found]
    return rows


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise missing_extra("pyarrow", extra="data") from error
    return pyarrow
