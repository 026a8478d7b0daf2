"""Jupyter notebooks: JSON with cells, read without Jupyter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.decode import decode
from gnomon.text.outline import find_headings
from gnomon.text.readers.blocks import code, joined_parts
from gnomon.text.settings import ProblemCallback, ReadSettings

_LONGEST_OUTPUT = 2_000
_BETWEEN = "\n\n"


def read_notebook(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: Markdown cells as they are, code in fences, each with what it wrote as text (its first 2,000
    characters). Pictures and HTML in outputs are left out. Its title is the metadata's, else the first heading.
    """
    try:
        notebook = json.loads(decode(path.read_bytes(), path, report))
        # Notebooks of format 3 keep their cells in worksheets.
        sheets = notebook.get("worksheets", [notebook])
        cells = [cell for sheet in sheets for cell in sheet["cells"]]
        texts = [_cell(cell) for cell in cells]
        metadata = notebook.get("metadata") or {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnreadableFile(
            f"{path} is no Jupyter notebook, or a damaged one: {type(error).__name__}: {error}",
            expected="JSON with a list of cells",
            hint="open it in Jupyter and save it again, or leave it out with an exclude pattern",
        ) from error
    whole, places = joined_parts(texts, "cell")
    heading = next(find_headings(whole), None)
    title = metadata.get("title")
    language = (metadata.get("kernelspec") or {}).get("language")
    yield Document(
        id="",
        text=whole,
        title=title if isinstance(title, str) and title else heading.words if heading else "",
        media_type="text/markdown",
        metadata={"language": language} if isinstance(language, str) else {},
        locations=places,
    )


def _cell(cell: Mapping[str, Any]) -> str:
    source = _text(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") != "code":
        return source.strip()
    parts = [code(source).text, *(_output(each) for each in cell.get("outputs") or [])]
    return _BETWEEN.join(part for part in parts if part)


def _output(output: Mapping[str, Any]) -> str:
    written = output.get("text") or (output.get("data") or {}).get("text/plain") or ""
    return code(_text(written)[:_LONGEST_OUTPUT]).text


def _text(value: Any) -> str:
    return "".join(value) if isinstance(value, list) else str(value)
