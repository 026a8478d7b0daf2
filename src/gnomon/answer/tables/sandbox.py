"""A connection that can read one table and do nothing else, whatever SQL it is given.

The file is opened read-only. One view of it is visible, under the table's registered name; an authorizer
refuses every other table, every statement but SELECT and every function that is not on the list. Time, rows
and the size of values are bounded.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

from gnomon.answer.tables.source import TableLocation, connect_read_only
from gnomon.answer.tables.types import TableInfo, Value, quote_name, table_error
from gnomon.core.errors import UnreadableFile

ALLOWED_FUNCTIONS = frozenset(
    "abs avg coalesce count date datetime glob group_concat ifnull iif instr json_group_array julianday "
    "length like lower ltrim max min nullif replace round rtrim sign strftime substr substring sum time "
    "total trim typeof unixepoch upper".split()
)
"""The allowed functions: none makes a large value of a small one, reads a file or sees the connection."""
_CLOCK_STEPS = 2000
"""Steps of SQLite's virtual machine between two looks at the clock."""


@dataclass(frozen=True)
class QueryLimits:
    """The most that a query may take: its time, its own length, and the size of a value or a row."""

    time_s: float = 5.0
    sql_characters: int = 200_000
    value_bytes: int = 16_000_000


class QueryRefused(Exception):
    """A query that was refused or is wrong; the text is the reason, for its author."""


@dataclass(frozen=True)
class QueryResult:
    """A query's columns and rows; `more` where there were more rows than the limit."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    more: bool


class SandboxedTable:
    """One table, for reading only. `number` is the name of the column of the rows' numbers."""

    def __init__(
        self, connection: sqlite3.Connection, info: TableInfo, location: TableLocation, *, limits: QueryLimits
    ) -> None:
        self._connection, self._location, self._limits = connection, location, limits
        self.info, self.number = info, number_column(info)

    def select(self, sql: str, parameters: Sequence[Value] = (), *, limit: int) -> QueryResult:
        """The first `limit` rows of one statement. Raises QueryRefused."""
        deadline = time.monotonic() + self._limits.time_s
        self._connection.set_progress_handler(lambda: time.monotonic() > deadline, _CLOCK_STEPS)
        try:
            with closing(self._connection.execute(sql, parameters)) as cursor:
                rows = cursor.fetchmany(limit + 1)
                names = tuple(str(column[0]) for column in cursor.description or ())
        except sqlite3.DatabaseError as error:
            message = str(error)
            if any(sign in message for sign in ("malformed", "not a database", "disk I/O")):
                raise self._damaged(message) from error
            late = f"it took longer than {self._limits.time_s:g} seconds"
            raise QueryRefused(late if "interrupted" in message else message) from error
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            raise QueryRefused(str(error)) from error
        if not names:
            raise QueryRefused("it is no SELECT")
        return QueryResult(names, tuple(rows[:limit]), len(rows) > limit)

    def _damaged(self, message: str) -> UnreadableFile:
        if not self._location.derived:
            return table_error(
                self.info.name, f"{self.info.path} is damaged: {message}", expected="a sound SQLite file"
            )
        self._location.file.unlink(missing_ok=True)
        return table_error(
            self.info.name,
            f"the copy of {self.info.path} was damaged: {message}",
            expected="a sound copy of its rows",
            hint="ask again: the copy is made anew",
        )


def number_column(info: TableInfo) -> str:
    """The name of the column of row numbers: one that no column of the table has."""
    taken = {column.name.casefold() for column in info.columns}
    name = "row_number"
    while name in taken:
        name += "_"
    return name


@contextmanager
def open_sandboxed(
    info: TableInfo, location: TableLocation, *, condition: str = "", limits: QueryLimits | None = None
) -> Iterator[SandboxedTable]:
    """Opens a table for reading only. `condition` is SQL that every visible row meets, "" for all rows.

    Raises sqlite3.Error for a file that cannot be opened.
    """
    limits = limits or QueryLimits()
    connection = connect_read_only(location.file)
    connection.text_factory = _decode
    try:
        for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "cache_size=-8192"):
            connection.execute(f"PRAGMA {pragma}")
        number = number_column(info)
        connection.execute(_view_sql(info, location, number, condition=condition))
        connection.execute("PRAGMA query_only=ON")
        _set_limits(connection, limits)
        connection.set_authorizer(_Authorizer(info.name, location.table))
        yield SandboxedTable(connection, info, location, limits=limits)
    finally:
        connection.close()


def _view_sql(info: TableInfo, location: TableLocation, number: str, *, condition: str) -> str:
    columns = [f"{location.number} AS {quote_name(number)}"]
    pairs = zip(location.cells, location.columns, strict=True)
    # A column declared DATE is to SQLite one of numbers, and '1900' would be read as one: "+" keeps a text.
    columns += [f"{'+' * (column.kind == 'date')}{cell} AS {quote_name(column.name)}" for cell, column in pairs]
    view = f"SELECT {', '.join(columns)} FROM main.{quote_name(location.table)}"
    if condition:
        view = f"SELECT * FROM ({view}) WHERE {condition}"
    return f"CREATE TEMP VIEW {quote_name(info.name)} AS {view}"


def _set_limits(connection: sqlite3.Connection, limits: QueryLimits) -> None:
    # A limit on the heap would be one for the whole process, the catalog's connections too; bounded values,
    # no recursion and bounded time keep a query small instead.
    for category, limit in (
        (sqlite3.SQLITE_LIMIT_LENGTH, limits.value_bytes),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, limits.sql_characters),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 300),
        (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 4),
        (sqlite3.SQLITE_LIMIT_FUNCTION_ARG, 8),
        (sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 2000),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        connection.setlimit(category, limit)


class _Authorizer:
    """Allows or denies each action of a statement."""

    def __init__(self, view: str, table: str) -> None:
        self._view, self._table = view.casefold(), table.casefold()

    def __call__(  # noqa: PLR0917 - as SQLite calls it
        self, action: int, first: str | None, second: str | None, database: str | None, inside: str | None
    ) -> int:
        if action == sqlite3.SQLITE_SELECT:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ:
            return self._read((first or "").casefold(), second or "", database, inside=(inside or "").casefold())
        if action == sqlite3.SQLITE_FUNCTION:
            called = (second or "").lower()
            if called in ALLOWED_FUNCTIONS or (called == "row_number" and (inside or "").casefold() == self._view):
                return sqlite3.SQLITE_OK
        return sqlite3.SQLITE_DENY

    def _read(self, table: str, column: str, database: str | None, *, inside: str) -> int:
        # The table below the view is read from within the view alone; without a column it is only counted.
        is_view = table == self._view and database == "temp"
        is_below = table == self._table and database == "main" and (inside == self._view or not column)
        return sqlite3.SQLITE_OK if is_view or is_below else sqlite3.SQLITE_DENY


def _decode(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")
