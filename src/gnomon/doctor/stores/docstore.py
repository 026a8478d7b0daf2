"""Reads the folders in which LangChain and LlamaIndex keep a FAISS index with its texts: their document stores.

LangChain writes `index.faiss` and `index.pkl`, a pickle of its documents and of their ids by row; LlamaIndex
`default__vector_store.json` (a FAISS index despite its name), `docstore.json` and `index_store.json`.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file
from gnomon.doctor.stores.source import node_text

_LANGCHAIN = ("index.faiss", "index.pkl")
_LLAMA_INDEX = ("default__vector_store.json", "docstore.json", "index_store.json")
_PLAIN = {("builtins", "set"): set, ("builtins", "frozenset"): frozenset, ("collections", "OrderedDict"): dict}


@dataclass(frozen=True)
class StoredNode:
    """A text of a document store: its id there ("" where it has none), and its metadata."""

    id: str
    text: str | None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def is_docstore(folder: Path) -> bool:
    """Whether a folder holds a FAISS index of LangChain or LlamaIndex with its document store."""
    return any(all(is_file(folder / name) for name in names) for names in (_LANGCHAIN, _LLAMA_INDEX))


def read_docstore(folder: Path) -> tuple[Path, list[StoredNode | None]]:
    """The index file, and the text of each of its rows (None where there is none). Raises InvalidInput."""
    langchain = all(is_file(folder / name) for name in _LANGCHAIN)
    try:
        return _langchain(folder) if langchain else _llama_index(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pickle.UnpicklingError, EOFError) as error:
        raise InvalidInput(
            f"the document store in {folder} cannot be read: {error}",
            expected="a folder that LangChain's FAISS.save_local or LlamaIndex's persist wrote",
            hint="write it again with a current version of that library, or give the texts as a file: --texts FILE",
        ) from error


def _langchain(folder: Path) -> tuple[Path, list[StoredNode | None]]:
    store, ids = _DocumentsUnpickler(io.BytesIO((folder / _LANGCHAIN[1]).read_bytes())).load()
    documents = vars(store)["_dict"]
    rows: list[StoredNode | None] = []
    for row in range(max(ids, default=-1) + 1):
        document = documents.get(ids.get(row))
        held = None if document is None else vars(document)
        rows.append(None if held is None else StoredNode(str(ids[row]), held["page_content"], held["metadata"]))
    return folder / _LANGCHAIN[0], rows


def _llama_index(folder: Path) -> tuple[Path, list[StoredNode | None]]:
    nodes = json.loads((folder / "docstore.json").read_text("utf-8")).get("docstore/data", {})
    rows: dict[int, str] = {}
    for index in json.loads((folder / "index_store.json").read_text("utf-8"))["index_store/data"].values():
        data = index["__data__"]
        data = json.loads(data) if isinstance(data, str) else data
        rows |= {int(row): key for row, key in data.get("nodes_dict", {}).items()}
    found: list[StoredNode | None] = []
    for row in range(max(rows, default=-1) + 1):
        data = nodes.get(rows.get(row, ""), {}).get("__data__")
        data = json.loads(data) if isinstance(data, str) else data
        found.append(None if data is None else StoredNode(rows[row], node_text(data), data.get("metadata") or {}))
    return folder / _LLAMA_INDEX[0], found


class _Attributes:
    """Takes the state of one of LangChain's objects as its attributes."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state.get("__dict__", state))


class _DocumentsUnpickler(pickle.Unpickler):
    """Reads LangChain's documents and plain values, and refuses every other class: a pickle could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """LangChain's own classes as plain ones."""
        if module.split(".")[0] in ("langchain", "langchain_core", "langchain_community") and name in (
            "InMemoryDocstore",
            "Document",
        ):
            return _Attributes
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        raise pickle.UnpicklingError(f"{module}.{name} in a file of documents")
