"""SQLite files, looked into where they lie and never written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gnomon.answer.tables.types import Column, ColumnKind, unique, unusable
from gnomon.core.errors import GnomonError

_BUSY_S = 5.0
_SAMPLE = 1000


@dataclass(frozen=True)
class Place:
    """A table in a SQLite file: the SQL of a row's number and of its cells, and what these are called."""

    file: Path
    table: str
    number: str
    cells: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: int
    derived: bool = False


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def connect(file: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    uri = file.as_uri()
    connection = sqlite3.connect(
        f"{uri}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        connection.close()
        if not (isinstance(error, sqlite3.OperationalError) and "open" in str(error) and _at_rest(file)):
            raise
        # A file in WAL mode needs two more beside it, which a folder that is read-only does not take.
        return sqlite3.connect(
            f"{uri}?immutable=1", uri=True, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
        )
    return connection


def _at_rest(file: Path) -> bool:
    """Whether a file is in WAL mode and nobody has it open: then nothing changes while it is read."""
    with file.open("rb") as data:
        is_wal = data.read(20)[18:] == b"\x02\x02"
    return is_wal and not any(Path(f"{file}{suffix}").exists() for suffix in ("-wal", "-shm", "-journal"))


def look_into(name: str, path: Path, table: str, *, count: bool = False) -> Place:
    """One table of a file, with its rows counted, or only whether there are any.

    Raises UnreadableFile where there is none such or the file is damaged.
    """
    with damage_explained(name, path), closing(connect(path)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        if table not in _tables(connection):
            raise unusable(name, f"{path} has no table {table}", expected=_list(_tables(connection)))
        found = connection.execute(f"PRAGMA table_xinfo({quoted(table)})").fetchall()
        shown = [row for row in found if row[6] != 1]
        cells = tuple(quoted(row[1]) for row in shown)
        number = _number(connection, name, table, [(row[1], row[5]) for row in found])
        some = f"SELECT 1 FROM {quoted(table)} LIMIT {-1 if count else 1}"
        rows = connection.execute(f"SELECT count(*) FROM ({some})").fetchone()[0]
        names = unique([row[1] for row in shown])
        columns = tuple(
            Column(called, _kind(connection, table, cell, row[2] or ""))
            for called, row, cell in zip(names, shown, cells, strict=True)
        )
    return Place(path, table, number, cells, columns, rows)


def tables_of(name: str, path: Path) -> list[str]:
    """The names of a file's ordinary tables. Raises UnreadableFile where the file is damaged."""
    with damage_explained(name, path), closing(connect(path)) as connection:
        return _tables(connection)


@contextmanager
def damage_explained(name: str, path: Path) -> Iterator[None]:
    """SQLite's errors, with the table's name."""
    try:
        yield
    except GnomonError:
        raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise unusable(name, f"{path} cannot be read: {error}") from error


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Ordinary tables: a view or a virtual table runs code of its own, and its rows have no number."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    return [row[0] for row in rows]


def _number(connection: sqlite3.Connection, name: str, table: str, columns: list[tuple[str, int]]) -> str:
    """The SQL for a row's number: the rowid, or the place in the order of the primary key."""
    taken = {column.casefold() for column, _ in columns}
    free = [own for own in ("rowid", "_rowid_", "oid") if own not in taken]
    if not free:
        raise unusable(name, "columns named rowid, _rowid_ and oid", expected="one of these names left free")
    try:
        connection.execute(f"SELECT {free[0]} FROM {quoted(table)} LIMIT 1").fetchone()
        return free[0]
    except sqlite3.OperationalError:  # WITHOUT ROWID, which always has a primary key
        key = sorted((at, column) for column, at in columns if at)
        return f"row_number() OVER (ORDER BY {', '.join(quoted(column) for _, column in key)})"


def _kind(connection: sqlite3.Connection, table: str, cell: str, declared: str) -> ColumnKind:
    """By the declared type as SQLite reads it; of text and of none, by what is there."""
    declared = declared.upper()
    if "BOOL" in declared:
        return "truth"
    if "INT" in declared:
        return "integer"
    if any(part in declared for part in ("REAL", "FLOA", "DOUB")):
        return "real"
    taken = f"SELECT {cell} AS v FROM {quoted(table)} WHERE {cell} IS NOT NULL LIMIT {_SAMPLE}"
    kinds = {row[0] for row in connection.execute(f"SELECT DISTINCT typeof(v) FROM ({taken})")}
    if kinds and kinds <= {"integer"}:
        return "integer"
    if kinds and kinds <= {"integer", "real"}:
        return "real"
    other = connection.execute(
        f"SELECT count(*) FROM ({taken}) WHERE NOT coalesce(date(v) IS NOT NULL AND v GLOB '????-??-??*', 0)"
    ).fetchone()[0]
    return "date" if kinds == {"text"} and not other else "text"


def _list(names: list[str]) -> str:
    return f"one of its tables: {', '.join(names)}" if names else "a file with a table in it"
