"""Reads a LanceDB folder with lancedb, which must be installed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.doctor.stores.source import ColumnNames, StoreSource, VectorBatch, choose_column, row_metadata

_ROWS_PER_BATCH = 2000


def is_lance(folder: Path) -> bool:
    """Whether the folder is a LanceDB table, or holds some."""
    return folder.suffix == ".lance" or any(path.is_dir() for path in folder.glob("*.lance"))


def sources(folder: Path, columns: ColumnNames) -> list[StoreSource]:
    """One source per table. Raises InvalidInput where lancedb is not installed, or no column has vectors."""
    home, only = (folder.parent, folder.stem) if folder.suffix == ".lance" else (folder, "")
    try:
        lancedb = importlib.import_module("lancedb")
    except ImportError as error:
        raise InvalidInput(
            f"{folder} is a LanceDB folder, and lancedb, which reads it, is not installed",
            expected="lancedb",
            hint="pip install 'gnomon[stores]', or pip install lancedb",
        ) from error
    database = lancedb.connect(str(home))
    names = [only] if only else sorted(path.stem for path in home.glob("*.lance") if path.is_dir())
    return [_source(database, name, columns, home=home) for name in names]


def _source(database: Any, name: str, columns: ColumnNames, *, home: Path) -> StoreSource:
    place = f"the table {name} of {home}"
    try:
        table = database.open_table(name)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(
            f"{place} cannot be opened: {error}",
            expected="a table that LanceDB wrote",
            hint="check the path, and open it with lancedb",
        ) from error
    fields = list(table.schema)
    lists = [field.name for field in fields if str(field.type).startswith(("fixed_size_list", "list<"))]
    strings = [field.name for field in fields if str(field.type) in ("string", "large_string")]
    vector = choose_column("vector", columns.vector, lists, place=place)
    if not vector:
        raise InvalidInput(
            f"{place} has no column of vectors", expected="a column of lists of numbers", hint="--vector"
        )
    words = [each for each in strings if each not in ("id", "_id")]
    text = choose_column("text", columns.text, words, place=place)
    key = next((each for each in ("id", "_id", "key") if each in table.schema.names), "")
    rows = partial(_rows, table, vector, text, key=key, with_metadata=columns.metadata)
    return StoreSource(name, rows, has_texts=bool(text))


def _rows(table: Any, vector: str, text: str, *, key: str, with_metadata: bool) -> Iterator[VectorBatch]:
    names = [name for name in dict.fromkeys((key, vector, text)) if name]
    query = table.search() if with_metadata else table.search().select(names)
    seen, count = 0, table.count_rows()
    for batch in query.limit(max(1, count)).to_batches(_ROWS_PER_BATCH):
        plain = batch.to_pydict()
        size = batch.num_rows
        ids = [str(each) for each in plain[key]] if key else [str(seen + at) for at in range(size)]
        seen += size
        vectors = [None if row is None else np.array(row, dtype=np.float32) for row in plain[vector]]
        others = [name for name in plain if name not in (key, vector, text)]
        metadata = [row_metadata({name: plain[name][at] for name in others}) for at in range(size)]
        yield VectorBatch(ids, vectors, plain[text] if text else [None] * size, metadata)
