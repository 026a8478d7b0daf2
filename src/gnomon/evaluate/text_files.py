"""Numbered lines and JSON lines of text files, gzipped or not."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from gnomon.core.errors import InvalidInput, UnreadableFile

_GZIP = b"\x1f\x8b"


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 with the lines, their ends and a byte order mark taken off; blank lines left out.

    Gzip is detected by content. Raises UnreadableFile for a missing or damaged file or one that
    is not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            file: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if packed else raw
            for number, line in enumerate(file, start=1):
                text = line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode().rstrip("\r\n")
                if text.strip():
                    yield number, text
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{path}, line {number}: not UTF-8 at byte {error.start}",
            expected="UTF-8 text, gzipped or not",
            hint="convert the file, for example with iconv",
        ) from error
    except FileNotFoundError as error:
        raise UnreadableFile(
            f"{path}: no such file", expected="a text file, gzipped or not", hint="correct the path"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        where = f" after line {number}" if number else ""
        raise UnreadableFile(
            f"{path} cannot be read{where}: {error}",
            expected="a text file, gzipped or not",
            hint="see whether the path is right and whether the file is whole",
        ) from error


def json_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers with the objects of a JSON-lines file. Raises InvalidInput for a line that is not one."""
    for number, line in text_lines(path):
        try:
            row = json.loads(line, object_pairs_hook=_unrepeated)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"{path}, line {number}: not usable JSON: {error}",
                expected="one JSON object a line",
                hint="correct the line, or take it out",
            ) from error
        if not isinstance(row, dict):
            raise InvalidInput(f"{path}, line {number}: a JSON {type(row).__name__}", expected="one JSON object a line")
        yield number, row


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the field {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return row


def first_line(path: Path) -> str:
    """The first line that is not blank; "" where there is none."""
    return next((line for _, line in text_lines(path)), "")
