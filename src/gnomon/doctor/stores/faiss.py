"""Reads a FAISS index file, and its texts from another file, in the order in which they were added."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.doctor.stores.docstore import StoredNode, read_docstore
from gnomon.doctor.stores.source import TEXT_COLUMNS, ColumnNames, StoreSource, VectorBatch, row_metadata

_ROWS_PER_BATCH = 4096


def sources(path: Path, texts: Path | None, columns: ColumnNames) -> list[StoreSource]:
    """The index as one source, with its texts from a file, or from the document store of LangChain or LlamaIndex.

    Raises InvalidInput for a file that is no index or keeps no vectors, and for another number of texts.
    """
    import faiss

    nodes: Sequence[StoredNode | None] | None = None
    if path.is_dir():
        path, nodes = read_docstore(path)
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise InvalidInput(
            f"{path} cannot be read as a FAISS index",
            expected="a collection's folder, or another store: a Chroma or LanceDB folder, a FAISS index file, "
            "postgresql://…?table=…, http://…/collections/NAME",
            hint="check the path; a FAISS index is written by faiss.write_index",
        ) from error
    if texts is not None:
        nodes = [StoredNode("", text) for text in read_texts(texts, columns.text or "")]
    if nodes is not None and len(nodes) != index.ntotal:
        raise InvalidInput(
            f"{texts or path.parent} has {len(nodes):,} texts, {path} {index.ntotal:,} vectors",
            expected="one text per vector, in the order in which they were added",
            hint="write all texts, one a line (.txt) or as JSON (.jsonl)",
        )
    notes = [f"{type(faiss.downcast_index(index)).__name__} of {index.ntotal:,} vectors"]
    inner, ids = _inside(faiss, index)
    if _is_coded(faiss, inner):
        notes.append("it keeps codes: the vectors are approximate")
    # The inner index is freed with the outer one, which is therefore kept.
    rows = partial(_rows, (index, inner), ids, nodes)
    return [StoreSource(path.name, rows, has_texts=nodes is not None, notes=tuple(notes))]


def read_texts(path: Path, field: str) -> list[str | None]:
    """One text per line; in .jsonl a string, or an object with the text in a field. Raises InvalidInput."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} cannot be read: {error}", expected="a text file in UTF-8", hint="check the path"
        ) from error
    if path.suffix not in (".jsonl", ".json", ".ndjson"):
        return list(lines)
    found: list[str | None] = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise InvalidInput(
                f"{path}, line {number}: no JSON", expected='a line such as {"text": "…"}', hint="correct it"
            ) from error
        if isinstance(row, dict):
            named = field or next((name for name in TEXT_COLUMNS if name in row), "")
            row = row.get(named)
        found.append(row if isinstance(row, str) else None)
    return found


def _inside(faiss: Any, index: Any) -> tuple[Any, Any]:
    """The index that has the vectors, and their ids, if it has some of its own."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexIDMap):
        ids = faiss.vector_to_array(index.id_map)
        return faiss.downcast_index(index.index), ids
    return index, None


def _is_coded(faiss: Any, index: Any) -> bool:
    plain = (faiss.IndexFlat, faiss.IndexHNSWFlat, faiss.IndexIVFFlat, faiss.IndexNSGFlat)
    return not isinstance(index, plain)


def _rows(indexes: tuple[Any, Any], ids: Any, nodes: Sequence[StoredNode | None] | None) -> Iterator[VectorBatch]:
    import faiss

    _, index = indexes
    if isinstance(index, faiss.IndexIVF):
        index.make_direct_map()
    for at in range(0, index.ntotal, _ROWS_PER_BATCH):
        size = min(_ROWS_PER_BATCH, index.ntotal - at)
        try:
            rows = np.asarray(index.reconstruct_n(at, size), dtype=np.float32)
        except RuntimeError as error:
            raise InvalidInput(
                f"a {type(index).__name__} does not return its vectors",
                expected="an index that keeps them, or codes of them",
                hint="examine the vectors that it was built from",
            ) from error
        names = [str(at + n) if ids is None else str(ids[at + n]) for n in range(size)]
        held = [None] * size if nodes is None else nodes[at : at + size]
        keys = [name if node is None or not node.id else node.id for name, node in zip(names, held, strict=True)]
        texts = [None if node is None else node.text for node in held]
        metadata = [{} if node is None else row_metadata(node.metadata) for node in held]
        yield VectorBatch(keys, list(rows), texts, metadata)
