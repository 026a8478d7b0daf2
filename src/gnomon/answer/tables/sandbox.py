"""A connection that can read one table and do nothing else, whatever SQL it is given.

The file is opened read-only. Of it one view is to be seen, under the table's registered name; an
authorizer refuses every other table, every statement but SELECT and every function that is not on the list.
Time, rows and the size of values are bounded.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from gnomon.answer.tables.sqlite_file import Place, connect, quoted
from gnomon.answer.tables.types import TableInfo, Value, unusable
from gnomon.core.errors import UnreadableFile

FUNCTIONS = frozenset(
    "abs avg coalesce count date datetime glob group_concat ifnull iif instr json_group_array julianday "
    "length like lower ltrim max min nullif replace round rtrim sign strftime substr substring sum time "
    "total trim typeof unixepoch upper".split()
)
"""What a query may call: none makes much of little, reads a file or sees the connection."""
_OPCODES = 2000
"""SQLite's virtual machine asks so often whether the time is up."""


@dataclass(frozen=True)
class Limits:
    """What a query may take: seconds, characters of SQL, bytes of a value or a row."""

    seconds: float = 5.0
    sql: int = 200_000
    value: int = 16_000_000


class Refused(Exception):
    """A query that was refused or is wrong, with the reason: for the one who wrote it."""


@dataclass(frozen=True)
class Found:
    """A query's columns and rows; `more` where there were more rows than asked for."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    more: bool


class Locked:
    """One table, to be read. `number` is the name of the column of the rows' numbers."""

    def __init__(self, connection: sqlite3.Connection, info: TableInfo, place: Place, limits: Limits) -> None:
        self._connection, self._place, self._limits = connection, place, limits
        self.info, self.number = info, number_column(info)

    def select(self, sql: str, parameters: Sequence[Value] = (), *, most: int) -> Found:
        """At most so many rows of one statement. Raises Refused."""
        ends = time.monotonic() + self._limits.seconds
        self._connection.set_progress_handler(lambda: time.monotonic() > ends, _OPCODES)
        try:
            with closing(self._connection.execute(sql, parameters)) as cursor:
                rows = cursor.fetchmany(most + 1)
                names = tuple(str(column[0]) for column in cursor.description or ())
        except sqlite3.DatabaseError as error:
            said = str(error)
            if any(sign in said for sign in ("malformed", "not a database", "disk I/O")):
                raise self._damaged(said) from error
            late = f"it took longer than {self._limits.seconds:g} seconds"
            raise Refused(late if "interrupted" in said else said) from error
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            raise Refused(str(error)) from error
        if not names:
            raise Refused("it is no SELECT")
        return Found(names, tuple(rows[:most]), len(rows) > most)

    def _damaged(self, said: str) -> UnreadableFile:
        if not self._place.derived:
            return unusable(self.info.name, f"{self.info.path} is damaged: {said}", expected="a sound SQLite file")
        self._place.file.unlink(missing_ok=True)
        return unusable(
            self.info.name,
            f"what was made of {self.info.path} was damaged: {said}",
            expected="a sound copy of its rows",
            hint="ask again: it is made anew",
        )


def number_column(info: TableInfo) -> str:
    """What the column of row numbers is called: a name that no column of the table has."""
    taken = {column.name.casefold() for column in info.columns}
    name = "row_number"
    while name in taken:
        name += "_"
    return name


@contextmanager
def locked(info: TableInfo, place: Place, *, only: str = "", limits: Limits | None = None) -> Iterator[Locked]:
    """Open a table to be read and nothing else. `only` is SQL that all rows to be seen must meet.

    Raises sqlite3.Error for a file that cannot be opened.
    """
    limits = limits or Limits()
    connection = connect(place.file)
    connection.text_factory = _text
    try:
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "cache_size=-8192"):
            connection.execute(f"PRAGMA {pragma}")
        number = number_column(info)
        connection.execute(_view(info, place, number, only))
        connection.execute("PRAGMA query_only=ON")
        _limit(connection, limits)
        connection.set_authorizer(_Authorizer(info.name, place.table))
        yield Locked(connection, info, place, limits)
    finally:
        connection.close()


def _view(info: TableInfo, place: Place, number: str, only: str) -> str:
    named = [f"{place.number} AS {quoted(number)}"]
    pairs = zip(place.cells, place.columns, strict=True)
    # A column declared DATE is to SQLite one of numbers, and '1900' would be read as one: "+" keeps a text.
    named += [f"{'+' * (column.kind == 'date')}{cell} AS {quoted(column.name)}" for cell, column in pairs]
    view = f"SELECT {', '.join(named)} FROM main.{quoted(place.table)}"
    if only:
        view = f"SELECT * FROM ({view}) WHERE {only}"
    return f"CREATE TEMP VIEW {quoted(info.name)} AS {view}"


def _limit(connection: sqlite3.Connection, limits: Limits) -> None:
    # A limit on the heap would be one for the whole process, the catalog's connections too; bounded values,
    # no recursion and bounded time keep a query small instead.
    for category, most in (
        (sqlite3.SQLITE_LIMIT_LENGTH, limits.value),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, limits.sql),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 300),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 4),
        (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 8),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 2000),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(category, most)


class _Authorizer:
    """Says of each thing that a statement would do whether it may."""

    def __init__(self, view: str, table: str) -> None:
        self._view, self._table = view.casefold(), table.casefold()

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, inside: str | None
    ) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            return self._read((first or "").casefold(), second or "", database, (inside or "").casefold())
        if action == sqlite3.SQLITE_FUNCTION:
            called = (second or "").lower()
            if called in FUNCTIONS or (called == "row_number" and (inside or "").casefold() == self._view):
                return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _read(self, table: str, column: str, database: str | None, inside: str) -> int:
        # The table below the view is read from within the view alone; without a column it is only counted.
        is_view = table == self._view and database == "temp"
        is_below = table == self._table and database == "main" and (inside == self._view or not column)
        return sqlite3.SQLITE_OK if is_view or is_below else sqlite3.SQLITE_DENY


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
