"""The query log: what was searched for and what was shown, one JSON line each, in the collection's folder `queries`.

Any number of threads and processes append: a line is one write to a file opened for appending, so lines stay whole.
The newest queries are in `log.jsonl`; a full file becomes `log.1.jsonl`, and the oldest are deleted.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, is_folder, storage_errors

FOLDER, _NEWEST = "queries", "log.jsonl"
_MOST_CHARACTERS = 4096
"""Of a query's text: longer ones are cut."""
_LOCK_S = 1.0
_TYPING_S = 3.0
"""How long a query may be typed on after a search for what was typed before."""
_OTHERS = 50
"""Queries of other users that may come in between."""


@dataclass(frozen=True)
class QueryLogSettings:
    """How much is kept: at most `files` files of about `max_bytes` bytes."""

    max_bytes: int = 10_000_000
    files: int = 5

    def __post_init__(self) -> None:
        if self.max_bytes < 1 or self.files < 1:
            raise InvalidInput(
                f"a query log of {self.files} files of {self.max_bytes} bytes", expected="1 or more of both"
            )


@dataclass(frozen=True)
class LoggedQuery:
    """A query that was answered. `at` is the time (ISO 8601, UTC) and `ids` are the documents shown, best first.

    `kind` is "search" or "answer"; `mode` and `k` are as in `Collection.search`, `where` is the condition as it was
    given, `version` is the version that answered.
    """

    query: str
    at: str
    version: str
    ids: tuple[str, ...] = ()
    kind: str = "search"
    mode: str | None = None
    where: str | Mapping[str, Any] | None = None
    k: int | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping without what is None."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain |= {"query": self.query[:_MOST_CHARACTERS], "ids": list(self.ids)}
        return {name: value for name, value in plain.items() if value is not None}


class QueryLogWriter:
    """Appends to the query log of a collection's folder."""

    def __init__(self, collection: str | Path, settings: QueryLogSettings | None = None) -> None:
        self._folder, self._settings = Path(collection) / FOLDER, settings or QueryLogSettings()

    def append(self, query: LoggedQuery) -> None:
        """Append a query. Raises StorageError; FileNotFoundError where the collection's folder is gone."""
        line = json.dumps(query.to_json(), ensure_ascii=True, default=str) + "\n"
        with storage_errors(self._folder):
            if not exists(self._folder):
                self._folder.mkdir(mode=0o700, exist_ok=True)
            # Opened each time: a file that another process has moved on is not written to any more.
            handle = os.open(self._folder / _NEWEST, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line.encode())
                is_full = os.fstat(handle).st_size >= self._settings.max_bytes
            finally:
                os.close(handle)
            if is_full:
                self._move_on()

    def _move_on(self) -> None:
        """Begin a new file, and delete the oldest one where there are too many."""
        newest = self._folder / _NEWEST
        try:
            with FileLock(self._folder / "lock", timeout=_LOCK_S):
                if not exists(newest) or newest.stat().st_size < self._settings.max_bytes:
                    return  # another process has just done so
                last = self._settings.files - 1
                for number in range(last, 0, -1):
                    older, newer = _numbered(self._folder, number), _numbered(self._folder, number - 1)
                    if exists(newer):
                        newer.replace(older)
                if not last:
                    newest.unlink()
        except Timeout:
            return  # another process is at it; if not, the next query tries again


def logged_queries(folder: str | Path) -> Iterator[LoggedQuery]:
    """The queries of a log, oldest first; none where nothing was logged. Lines cut off are left out.

    `folder` is the collection's, or the folder `queries` in it. Of a query that was searched for while it was typed
    only the last state counts: one that begins another query of the next seconds is left out.
    """
    waiting: deque[LoggedQuery] = deque()
    for query in _all_logged(Path(folder)):
        while waiting and (len(waiting) > _OTHERS or _seconds_between(waiting[0], query) > _TYPING_S):
            yield waiting.popleft()
        waiting = deque(each for each in waiting if not _is_start_of(each.query, query.query))
        waiting.append(query)
    yield from waiting


def _is_start_of(earlier: str, later: str) -> bool:
    return later.startswith(earlier) and len(later) > len(earlier)


def _seconds_between(earlier: LoggedQuery, later: LoggedQuery) -> float:
    try:
        passed = datetime.fromisoformat(later.at) - datetime.fromisoformat(earlier.at)
    except (ValueError, TypeError):
        return float("inf")
    return passed.total_seconds()


def _all_logged(place: Path) -> Iterator[LoggedQuery]:
    for path in _files(place) or _files(place / FOLDER):
        with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                query = _parsed(line)
                if query is not None:
                    yield query


def _files(folder: Path) -> list[Path]:
    """The files of a query log, oldest first."""
    if not is_folder(folder):
        return []
    numbers = []
    for path in folder.glob("log.*.jsonl"):
        number = path.name.split(".")[1]
        numbers += [int(number)] if number.isdecimal() else []
    newest = folder / _NEWEST
    return [_numbered(folder, number) for number in sorted(numbers, reverse=True)] + [newest] * newest.is_file()


def _numbered(folder: Path, number: int) -> Path:
    return folder / (f"log.{number}.jsonl" if number else _NEWEST)


def _parsed(line: str) -> LoggedQuery | None:
    try:
        row = json.loads(line)
        known = {name: row[name] for name in LoggedQuery.__dataclass_fields__ if name in row}
        return LoggedQuery(**{**known, "ids": tuple(row.get("ids", ()))})
    except (ValueError, TypeError, KeyError):
        return None
