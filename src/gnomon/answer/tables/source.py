"""Where a table's rows lie: a SQLite file as it is, or one made from a CSV or Parquet file."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from gnomon.answer.tables.load import Contents, contents, same_columns
from gnomon.answer.tables.sqlite_file import Place, look_into
from gnomon.answer.tables.types import Column, Kind, TableInfo, unusable
from gnomon.collection.catalog.connection import explained
from gnomon.core.errors import UnreadableFile

FORMAT = 1
"""Of the derived files; one of another is made anew."""
_SUFFIXES: dict[str, Kind] = {
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".db": "sqlite", ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db3": "sqlite",
}  # fmt: skip


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file is still the one that was read."""

    size: int
    mtime_ns: int
    sha256: str


def kind_of(name: str, path: Path) -> Kind:
    """By its first bytes, else by its suffix. Raises UnreadableFile for other files, and for none."""
    require(name, path)
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise unusable(name, f"{path} cannot be read: {error.strerror or error}") from error
    if head == b"SQLite format 3\x00":
        return "sqlite"
    if head.startswith(b"PAR1"):
        return "parquet"
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise unusable(
            name,
            f"{path} is no table that gnomon reads",
            expected="a CSV, TSV, SQLite or Parquet file",
            hint="convert it, for example to CSV",
        )
    return kind


def require(name: str, path: Path) -> None:
    """Raise UnreadableFile where there is no file, or nothing in it."""
    try:
        status = path.stat()
        empty = status.st_size == 0
    except OSError as error:
        raise unusable(name, f"its file {path} is gone or out of reach: {error.strerror}") from error
    if empty or not path.is_file():
        raise unusable(name, f"its file {path} is {'empty' if empty else 'no file'}")


def place(info: TableInfo, folder: Path) -> Place:
    """Where a table's rows can be read now. `folder` is the collection's own for derived files.

    Raises UnreadableFile for a file that is gone, empty, damaged or has other columns; StorageError.
    """
    path = Path(info.path)
    require(info.name, path)
    if kind_of(info.name, path) != info.kind:
        raise unusable(info.name, f"{path} is no {info.kind} file any more")
    if info.kind == "sqlite":
        found = look_into(info.name, path, info.table)
    else:
        found = derived(info.name, path, info.kind, folder)
    same_columns(info, found.columns)
    if not found.rows:
        raise unusable(info.name, f"no rows in {path}")
    return found


def derived_file(name: str, folder: Path) -> Path:
    """The file that is made from a CSV or Parquet file."""
    return folder / f"{name}.db"


def derived(name: str, path: Path, kind: Kind, folder: Path) -> Place:
    """A CSV or Parquet file's rows as SQLite, made anew where it changed. Raises as `place` does."""
    file = derived_file(name, folder)
    known = _read_about(file)
    status = path.stat()
    if known and (known[0].size, known[0].mtime_ns) == (status.st_size, status.st_mtime_ns):
        return _place(file, known[1], known[2])
    stamp = Stamp(status.st_size, status.st_mtime_ns, _digest(name, path))
    if known and known[0].sha256 == stamp.sha256:
        with explained(file), closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE about SET stamp = ?", (json.dumps(asdict(stamp)),))
        return _place(file, known[1], known[2])
    columns, rows = make(file, contents(name, path, kind), stamp)
    return _place(file, columns, rows)


def make(file: Path, found: Contents, stamp: Stamp) -> tuple[tuple[Column, ...], int]:
    """Write the rows into a file of their own, put in place only when it is whole."""
    with explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}.", suffix=".new")
        os.close(handle)
        try:
            with closing(sqlite3.connect(beside)) as connection, connection:
                rows = _fill(connection, found, stamp)
            Path(beside).replace(file)
        finally:
            Path(beside).unlink(missing_ok=True)
    return found.columns, rows


def _fill(connection: sqlite3.Connection, found: Contents, stamp: Stamp) -> int:
    connection.execute("PRAGMA journal_mode=OFF")  # it is not there before it is whole
    connection.execute("PRAGMA synchronous=OFF")
    cells = [_cell(at) for at in range(len(found.columns))]
    connection.execute(f"CREATE TABLE data (number INTEGER PRIMARY KEY, {', '.join(cells)})")
    marks = ", ".join("?" * (len(cells) + 1))
    flat: Iterator[tuple[object, ...]] = ((number, *values) for number, values in found.rows)
    rows = connection.executemany(f"INSERT INTO data VALUES ({marks})", flat).rowcount
    connection.execute("CREATE TABLE about (format INTEGER, stamp TEXT, columns TEXT, rows INTEGER)")
    columns = json.dumps([asdict(column) for column in found.columns])
    about = (FORMAT, json.dumps(asdict(stamp)), columns, max(rows, 0))
    connection.execute("INSERT INTO about VALUES (?, ?, ?, ?)", about)
    return max(rows, 0)


def _read_about(file: Path) -> tuple[Stamp, tuple[Column, ...], int] | None:
    """None where there is none, or it is damaged or of another format."""
    if not file.is_file():
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            made, stamp, columns, rows = connection.execute("SELECT * FROM about").fetchone()
            if made != FORMAT or connection.execute("SELECT count(*) FROM data").fetchone() != (rows,):
                return None
        return Stamp(**json.loads(stamp)), tuple(Column(**column) for column in json.loads(columns)), rows
    except (sqlite3.Error, ValueError, TypeError):
        return None


def _place(file: Path, columns: tuple[Column, ...], rows: int) -> Place:
    cells = tuple(_cell(at) for at in range(len(columns)))
    return Place(file, "data", '"number"', cells, columns, rows, derived=True)


def _cell(at: int) -> str:
    return f"c{at}"


def _digest(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unusable(name, f"{path} cannot be read: {error.strerror or error}") from error


def state(info: TableInfo) -> str:
    """ "here", or what is wrong with the file at a glance; loads nothing."""
    try:
        require(info.name, Path(info.path))
    except UnreadableFile as error:
        return error.message.removeprefix(f"table {info.name}: ")
    return "here"
