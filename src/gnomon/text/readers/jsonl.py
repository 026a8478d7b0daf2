"""JSON lines, one document a line, and BEIR's corpus.jsonl."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.core.locations import Locations
from gnomon.text.open_file import open_regular
from gnomon.text.settings import ProblemCallback, ReadSettings

_TEXT = ("text", "contents", "content", "body")
_ID = ("_id", "id")
_SHOWN = 5


def read_jsonl(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """A document a line: `text` (or contents, content, body), `title`, `_id` or `id`, the rest metadata.

    The text may be empty or null where there is a title. A line with a title and other texts, in fields that are
    none of these names, has no text: its text may well be in one of them.
    Lines that are no such object are reported with their number and left out. Raises UnreadableFile
    when that leaves nothing.
    """
    complaints: list[str] = []
    left_out = 0
    seen: set[str] = set()
    for number, line in enumerate(_lines(path, settings.max_bytes), start=1):
        parsed = _parsed(line, number)
        if isinstance(parsed, Document) and parsed.id in seen:
            parsed = f"line {number}: the id {parsed.id!r} came before"
        if isinstance(parsed, Document):
            seen.add(parsed.id)
            yield parsed
        elif parsed:
            left_out += 1
            complaints += [parsed] if left_out <= _SHOWN else []
    if complaints and not seen:
        raise UnreadableFile(
            f"{path}: none of {left_out} lines is a document; {complaints[0]}",
            expected=f"a JSON object a line, with its text in one of: {', '.join(_TEXT)}",
            hint="rename the field that holds the text, or leave the file out with an exclude pattern",
        )
    for complaint in complaints:
        report(f"{path}, {complaint}; left out")
    if left_out > _SHOWN:
        report(f"{path}: {left_out - _SHOWN} more lines left out")


def read_beir(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """BEIR's corpus.jsonl: the ids are those of the file."""
    return read_jsonl(path, settings, report)


def is_beir(path: Path) -> bool:
    """Whether the first line is an object with `_id` and `text`. False for what cannot be read."""
    try:
        first = json.loads(next(_lines(path, 10_000_000), b""))
    except (OSError, ValueError, EOFError, zlib.error, RecursionError, UnreadableFile):
        return False
    return isinstance(first, dict) and "_id" in first and "text" in first


def _lines(path: Path, most_bytes: int) -> Iterator[bytes]:
    with open_regular(path) as raw:
        file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if path.suffix.lower() == ".gz" else raw
        number = 0
        while line := file.readline(most_bytes + 1):
            number += 1
            if len(line) > most_bytes:
                raise UnreadableFile(
                    f"{path}, line {number} is longer than {most_bytes / 1e6:g} MB",
                    expected="one JSON object a line",
                    hint="raise max_file_mb, or write one document a line",
                )
            yield line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _parsed(line: bytes, number: int) -> Document | str:
    """The line's document, or what is wrong with it; "" for an empty line."""
    if not line.strip():
        return ""
    try:
        row = json.loads(line)
    except UnicodeDecodeError as error:
        return f"line {number}: not UTF-8 at byte {error.start}"
    except (ValueError, RecursionError) as error:
        return f"line {number}: no JSON: {error}"
    if not isinstance(row, dict):
        return f"line {number}: a JSON {type(row).__name__}, not an object"
    name = next((name for name in _TEXT if isinstance(row.get(name), str)), None)
    if name is None and not _is_title_alone(row):
        return f"line {number}: no text in one of {', '.join(_TEXT)}; its fields are {', '.join(row) or 'none'}"
    return _document(row, name, number)


def _is_title_alone(row: Mapping[str, Any]) -> bool:
    """Whether a row without a text has a title, and no text of another name either."""
    others = (value for name, value in row.items() if name not in (*_TEXT, *_ID, "title"))
    named = any(name in row for name in _TEXT)
    return isinstance(row.get("title"), str) and (named or not any(isinstance(value, str) for value in others))


def _document(row: Mapping[str, Any], text_name: str | None, number: int) -> Document:
    id_name = next((name for name in _ID if row.get(name) not in (None, "")), None)
    title = row.get("title")
    used = {*([text_name] if text_name else _TEXT), id_name, "title" if isinstance(title, str) else None}
    metadata = row.get("metadata")
    rest = {name: value for name, value in row.items() if name not in used}
    if isinstance(metadata, dict):
        rest = {**{name: value for name, value in rest.items() if name != "metadata"}, **metadata}
    return Document(
        id=str(row[id_name]) if id_name else str(number),
        text=row[text_name] if text_name else "",
        title=title if isinstance(title, str) else "",
        metadata=rest,
        locations=Locations("line", numbers=(number,)),
    )
