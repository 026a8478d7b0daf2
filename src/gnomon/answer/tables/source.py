"""Where a table's rows are read: a SQLite file as it is, or one derived from a CSV or Parquet file.

Users' own files are opened read-only and never written.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gnomon.answer.tables.load import TableData, read_table, require_same_columns
from gnomon.answer.tables.types import (
    Column,
    ColumnKind,
    TableInfo,
    TableKind,
    quote_name,
    table_error,
    unique_names,
)
from gnomon.collection.catalog.sqlite import translated_errors
from gnomon.core.errors import GnomonError, IndexDamaged, UnreadableFile
from gnomon.core.files import replacing
from gnomon.core.serialize import from_plain, to_plain
from gnomon.index.manifest import check_files, checksums, read_manifest, write_manifest

DERIVED_FORMAT = 1
"""Of the derived files; one of another format is derived anew."""
_BUSY_TIMEOUT_S = 5.0
_SAMPLE_ROWS = 1000
_SUFFIXES: dict[str, TableKind] = {
    ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet",
    ".db": "sqlite", ".sqlite": "sqlite", ".sqlite3": "sqlite", ".db3": "sqlite",
}  # fmt: skip


@dataclass(frozen=True)
class TableLocation:
    """A table in a SQLite file: the SQL expressions of a row's number and of its cells, and their columns."""

    file: Path
    table: str
    number: str
    cells: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: int
    derived: bool = False


@dataclass(frozen=True)
class FileStamp:
    """Tells whether a file is still the one that was read."""

    size: int
    mtime_ns: int
    sha256: str


def kind_of(name: str, path: Path) -> TableKind:
    """A file's kind by its first bytes, else by its suffix. Raises UnreadableFile for other files, and for none."""
    require_file(name, path)
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise table_error(name, f"{path} cannot be read: {error.strerror or error}") from error
    if head == b"SQLite format 3\x00":
        return "sqlite"
    if head.startswith(b"PAR1"):
        return "parquet"
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise table_error(
            name,
            f"{path} is no table that gnomon reads",
            expected="a CSV, TSV, SQLite or Parquet file",
            hint="convert it, for example to CSV",
        )
    return kind


def require_file(name: str, path: Path) -> None:
    """Raises UnreadableFile where there is no file, or nothing in it."""
    try:
        status = path.stat()
        empty = status.st_size == 0
    except OSError as error:
        raise table_error(name, f"its file {path} is gone or out of reach: {error.strerror}") from error
    if empty or not path.is_file():
        raise table_error(name, f"its file {path} is {'empty' if empty else 'no file'}")


def locate_table(info: TableInfo, folder: Path) -> TableLocation:
    """Where a table's rows can be read now. `folder` is the collection's own for derived files.

    Raises UnreadableFile for a file that is gone, empty, damaged or has other columns; StorageError.
    """
    path = Path(info.path)
    require_file(info.name, path)
    if kind_of(info.name, path) != info.kind:
        raise table_error(info.name, f"{path} is no {info.kind} file any more")
    if info.kind == "sqlite":
        location = inspect_table(info.name, path, info.table)
    else:
        location = locate_derived(info.name, path, info.kind, folder=folder)
    require_same_columns(info, location.columns)
    if not location.rows:
        raise table_error(info.name, f"no rows in {path}")
    return location


def derived_file(name: str, folder: Path) -> Path:
    """The SQLite file that is derived from a CSV or Parquet file."""
    return folder / f"{name}.db"


def locate_derived(name: str, path: Path, kind: TableKind, *, folder: Path) -> TableLocation:
    """A CSV or Parquet file's rows as SQLite, derived anew where it changed. Raises as `locate_table` does."""
    file = derived_file(name, folder)
    derived = _read_derived(file)
    status = path.stat()
    if derived and (derived[0].size, derived[0].mtime_ns) == (status.st_size, status.st_mtime_ns):
        return _derived_location(file, *derived[1:])
    stamp = FileStamp(status.st_size, status.st_mtime_ns, _digest(name, path))
    if derived and derived[0].sha256 == stamp.sha256:
        with translated_errors(file), closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("UPDATE about SET stamp = ?", (json.dumps(to_plain(stamp)),))
        _seal(file)
        return _derived_location(file, *derived[1:])
    columns, rows = write_derived(file, read_table(name, path, kind), stamp)
    return _derived_location(file, columns, rows)


def write_derived(file: Path, data: TableData, stamp: FileStamp) -> tuple[tuple[Column, ...], int]:
    """Writes the rows to a SQLite file, put in place only when it is whole; returns its columns and row count."""
    with translated_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as beside, closing(sqlite3.connect(beside)) as connection, connection:
            rows = _fill(connection, data, stamp)
        _seal(file)
    return data.columns, rows


def seal_file(file: Path) -> Path:
    """Where the checksums of a derived file are kept."""
    return file.with_name(f"{file.name}.json")


def _seal(file: Path) -> None:
    """Keep the file's checksums: SQLite has none of its own, and a flipped bit would be an answer."""
    sealed = {"version": DERIVED_FORMAT, "file": [file.stat().st_size, checksums(file)]}
    with translated_errors(file):
        write_manifest(seal_file(file), sealed)


def _is_intact(file: Path) -> bool:
    """Whether a derived file is what was written; True where an older gnomon kept no checksums."""
    if not seal_file(file).is_file():
        return True
    try:
        size, sums = read_manifest(seal_file(file), version=DERIVED_FORMAT)["file"]
        check_files(file.parent, {file.name: (size, sums)})
    except (IndexDamaged, KeyError, ValueError, OSError):
        return False
    return bool(file.stat().st_size == size)


def _fill(connection: sqlite3.Connection, data: TableData, stamp: FileStamp) -> int:
    connection.execute("PRAGMA journal_mode=OFF")  # nobody sees the file before it is whole
    connection.execute("PRAGMA synchronous=OFF")
    names = [_cell_name(at) for at in range(len(data.columns))]
    connection.execute(f"CREATE TABLE data (number INTEGER PRIMARY KEY, {', '.join(names)})")
    marks = ", ".join("?" * (len(names) + 1))
    values: Iterator[tuple[object, ...]] = ((number, *cells) for number, cells in data.rows)
    rows = connection.executemany(f"INSERT INTO data VALUES ({marks})", values).rowcount
    connection.execute("CREATE TABLE about (format INTEGER, stamp TEXT, columns TEXT, rows INTEGER)")
    columns = json.dumps(to_plain(data.columns))
    about = (DERIVED_FORMAT, json.dumps(to_plain(stamp)), columns, max(rows, 0))
    connection.execute("INSERT INTO about VALUES (?, ?, ?, ?)", about)
    return max(rows, 0)


def _read_derived(file: Path) -> tuple[FileStamp, tuple[Column, ...], int] | None:
    """A derived file's stamp, columns and row count; None for none, a damaged one or one of another format."""
    if not file.is_file() or not _is_intact(file):
        return None
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection:
            format_, stamp, columns, rows = connection.execute("SELECT * FROM about").fetchone()
            if format_ != DERIVED_FORMAT or connection.execute("SELECT count(*) FROM data").fetchone() != (rows,):
                return None
        return from_plain(FileStamp, json.loads(stamp)), from_plain(tuple[Column, ...], json.loads(columns)), rows
    except (sqlite3.Error, ValueError, TypeError):
        return None


def _derived_location(file: Path, columns: tuple[Column, ...], rows: int) -> TableLocation:
    cells = tuple(_cell_name(at) for at in range(len(columns)))
    return TableLocation(file, "data", '"number"', cells, columns, rows, derived=True)


def _cell_name(at: int) -> str:
    return f"c{at}"


def _digest(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise table_error(name, f"{path} cannot be read: {error.strerror or error}") from error


def file_state(info: TableInfo) -> str:
    """ "here", or what is wrong with the file at a glance; loads nothing."""
    try:
        require_file(info.name, Path(info.path))
    except UnreadableFile as error:
        return error.message.removeprefix(f"table {info.name}: ")
    return "here"


def connect_read_only(file: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    uri = file.as_uri()
    connection = sqlite3.connect(
        f"{uri}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        connection.close()
        if not (isinstance(error, sqlite3.OperationalError) and "open" in str(error) and _is_idle_wal(file)):
            raise
        # A file in WAL mode needs two more beside it, which a folder that is read-only does not take.
        return sqlite3.connect(
            f"{uri}?immutable=1", uri=True, isolation_level=None, timeout=_BUSY_TIMEOUT_S, check_same_thread=False
        )
    return connection


def _is_idle_wal(file: Path) -> bool:
    """Whether a file is in WAL mode and nobody has it open: then nothing changes while it is read."""
    with file.open("rb") as data:
        is_wal = data.read(20)[18:] == b"\x02\x02"
    return is_wal and not any(Path(f"{file}{suffix}").exists() for suffix in ("-wal", "-shm", "-journal"))


def inspect_table(name: str, path: Path, table: str, *, count: bool = False) -> TableLocation:
    """One table of a file, with its rows counted, or only whether there are any.

    Raises UnreadableFile where there is none such or the file is damaged.
    """
    with sqlite_errors(name, path), closing(connect_read_only(path)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        if table not in _table_names(connection):
            raise table_error(name, f"{path} has no table {table}", expected=_list_names(_table_names(connection)))
        described = connection.execute(f"PRAGMA table_xinfo({quote_name(table)})").fetchall()
        visible = [row for row in described if row[6] != 1]
        cells = tuple(quote_name(row[1]) for row in visible)
        number = _row_number(connection, name, table, columns=[(row[1], row[5]) for row in described])
        some = f"SELECT 1 FROM {quote_name(table)} LIMIT {-1 if count else 1}"
        rows = connection.execute(f"SELECT count(*) FROM ({some})").fetchone()[0]
        names = unique_names([row[1] for row in visible])
        columns = tuple(
            Column(column, _column_kind(connection, table, cell, declared=row[2] or ""))
            for column, row, cell in zip(names, visible, cells, strict=True)
        )
    return TableLocation(path, table, number, cells, columns, rows)


def list_tables(name: str, path: Path) -> list[str]:
    """The names of a file's ordinary tables. Raises UnreadableFile where the file is damaged."""
    with sqlite_errors(name, path), closing(connect_read_only(path)) as connection:
        return _table_names(connection)


@contextmanager
def sqlite_errors(name: str, path: Path) -> Iterator[None]:
    """Turns SQLite's errors into UnreadableFile with the table's name."""
    try:
        yield
    except GnomonError:
        raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise table_error(name, f"{path} cannot be read: {error}") from error


def _table_names(connection: sqlite3.Connection) -> list[str]:
    """Ordinary tables: a view or a virtual table runs code of its own, and its rows have no number."""
    rows = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%' "
        "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
    )
    return [row[0] for row in rows]


def _row_number(connection: sqlite3.Connection, name: str, table: str, *, columns: list[tuple[str, int]]) -> str:
    """The SQL for a row's number: the rowid, or the place in the order of the primary key."""
    taken = {column.casefold() for column, _ in columns}
    free = [own for own in ("rowid", "_rowid_", "oid") if own not in taken]
    if not free:
        raise table_error(name, "columns named rowid, _rowid_ and oid", expected="one of these names left free")
    try:
        connection.execute(f"SELECT {free[0]} FROM {quote_name(table)} LIMIT 1").fetchone()
        return free[0]
    except sqlite3.OperationalError:  # WITHOUT ROWID, which always has a primary key
        key = sorted((at, column) for column, at in columns if at)
        return f"row_number() OVER (ORDER BY {', '.join(quote_name(column) for _, column in key)})"


def _column_kind(connection: sqlite3.Connection, table: str, cell: str, *, declared: str) -> ColumnKind:
    """By the declared type as SQLite reads it; of text and of none, by what is there."""
    declared = declared.upper()
    if "BOOL" in declared:
        return "truth"
    if "INT" in declared:
        return "integer"
    if any(part in declared for part in ("REAL", "FLOA", "DOUB")):
        return "real"
    sample = f"SELECT {cell} AS v FROM {quote_name(table)} WHERE {cell} IS NOT NULL LIMIT {_SAMPLE_ROWS}"
    kinds = {row[0] for row in connection.execute(f"SELECT DISTINCT typeof(v) FROM ({sample})")}
    if kinds and kinds <= {"integer"}:
        return "integer"
    if kinds and kinds <= {"integer", "real"}:
        return "real"
    other = connection.execute(
        f"SELECT count(*) FROM ({sample}) WHERE NOT coalesce(date(v) IS NOT NULL AND v GLOB '????-??-??*', 0)"
    ).fetchone()[0]
    return "date" if kinds == {"text"} and not other else "text"


def _list_names(names: list[str]) -> str:
    return f"one of its tables: {', '.join(names)}" if names else "a file with a table in it"
