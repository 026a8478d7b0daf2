"""The query log: what was searched for, what was shown and what was clicked, in the collection's folder `queries`.

One JSON line each: a search, or an event that names its search by the id that was answered with it. Any number of
threads and processes append: a line is one write to a file opened for appending, so lines stay whole.
The newest are in `log.jsonl`; a full file becomes `log.1.jsonl`, and the oldest are deleted.
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
from typing import Any, Literal, TypeVar

from filelock import FileLock, Timeout

from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, is_folder, storage_errors

FeedbackKind = Literal["click", "up", "down"]
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
    given, `version` is the version that answered. `id` is what events name the search by ("" in logs of gnomon 0.1).
    Where the results of two versions were interleaved, `teams` has for each document whose result it is: "live",
    "candidate" or "both".
    """

    query: str
    at: str
    version: str
    ids: tuple[str, ...] = ()
    kind: str = "search"
    mode: str | None = None
    where: str | Mapping[str, Any] | None = None
    k: int | None = None
    id: str = ""
    teams: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping without what is None, and without an id or teams where there are none."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain |= {"query": self.query[:_MOST_CHARACTERS], "ids": list(self.ids)}
        plain |= {"id": self.id or None, "teams": list(self.teams) or None}
        return {name: value for name, value in plain.items() if value is not None}


@dataclass(frozen=True)
class FeedbackEvent:
    """What a user did with a result: clicked it, or said that it is right ("up") or wrong ("down").

    `search` is the id of the search, `document` the id of the document, `position` its place in the list that was
    shown, from 1. `session` is what the client calls the user's visit, "" where it does not say.
    """

    search: str
    document: str
    kind: FeedbackKind
    at: str
    position: int | None = None
    session: str = ""

    def to_json(self) -> dict[str, Any]:
        """A plain mapping without what is not known."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in plain.items() if value not in (None, "")}


Entry = TypeVar("Entry", LoggedQuery, FeedbackEvent)
_TUPLES = ("ids", "teams")


class QueryLogWriter:
    """Appends to the query log of a collection's folder."""

    def __init__(self, collection: str | Path, settings: QueryLogSettings | None = None) -> None:
        self._folder, self._settings = Path(collection) / FOLDER, settings or QueryLogSettings()

    def append(self, *entries: LoggedQuery | FeedbackEvent) -> None:
        """Append queries and events. Raises StorageError; FileNotFoundError where the collection's folder is gone."""
        line = "".join(json.dumps(each.to_json(), ensure_ascii=True, default=str) + "\n" for each in entries)
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
    for query in _entries(Path(folder), LoggedQuery):
        while waiting and (len(waiting) > _OTHERS or _seconds_between(waiting[0], query) > _TYPING_S):
            yield waiting.popleft()
        waiting = deque(each for each in waiting if not _is_start_of(each.query, query.query))
        waiting.append(query)
    yield from waiting


def logged_searches(folder: str | Path) -> list[tuple[LoggedQuery, tuple[FeedbackEvent, ...]]]:
    """The searches of a log with their clicks and thumbs, oldest first. `folder` is as in `logged_queries`.

    Of queries that were searched for while they were typed, those that nothing was clicked of are left out. Events of
    searches that are not in the log, and of documents that were not shown, are left out too.
    """
    place = Path(folder)
    events: dict[str, list[FeedbackEvent]] = {}
    for event in _entries(place, FeedbackEvent):
        events.setdefault(event.search, []).append(event)
    whole = {query.id for query in logged_queries(place)}
    found = []
    for query in _entries(place, LoggedQuery):
        own = tuple(event for event in events.get(query.id, ()) if query.id and event.document in query.ids)
        if query.kind == "search" and (own or not query.id or query.id in whole):
            found.append((query, own))
    return found


def _is_start_of(earlier: str, later: str) -> bool:
    return later.startswith(earlier) and len(later) > len(earlier)


def _seconds_between(earlier: LoggedQuery, later: LoggedQuery) -> float:
    try:
        passed = datetime.fromisoformat(later.at) - datetime.fromisoformat(earlier.at)
    except (ValueError, TypeError):
        return float("inf")
    return passed.total_seconds()


def _entries(place: Path, kind: type[Entry]) -> Iterator[Entry]:
    for path in _files(place) or _files(place / FOLDER):
        with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                entry = _parsed(line, kind)
                if entry is not None:
                    yield entry


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


def _parsed(line: str, kind: type[Entry]) -> Entry | None:
    """The entry of a line; None for one of the other kind, or one that was cut off."""
    try:
        row = json.loads(line)
        known: dict[str, Any] = {name: row[name] for name in kind.__dataclass_fields__ if name in row}
        known |= {name: tuple(known[name]) for name in _TUPLES if name in known}
        return kind(**known)
    except (ValueError, TypeError, KeyError):
        return None
