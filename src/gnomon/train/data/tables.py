"""Rows with named fields, by number: JSON, CSV, TSV, Parquet, `datasets`, and lists in memory."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import shutil
import tempfile
import threading
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import InvalidInput, StorageError, UnreadableFile

_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 22
_NEWLINE, _QUOTE = 10, 34


class LineFile:
    """The rows of a UTF-8 text file by number from 0; blank lines are none.

    With `quoted` a line's end between double quotes does not end a row (CSV). `scratch` is the folder for the
    unpacked copy of a gzipped file; None is the system's. `file` is read in place of the path, whose name it
    then only bears. Raises UnreadableFile, StorageError.
    """

    def __init__(
        self,
        path: Path,
        *,
        quoted: bool = False,
        scratch: Path | None = None,
        file: IO[bytes] | None = None,
    ) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file = file or _plain(path, scratch)
            self._starts, self._ends, self._numbers = _indexed(self._file, quoted=quoted)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(
                f"{path} cannot be read: {error}",
                expected="a text file, gzipped or not",
                hint="see whether the path is right and whether the file is whole",
            ) from error

    def __len__(self) -> int:
        return len(self._starts)

    def text(self, at: int) -> str:
        """Row `at`, its end and a byte order mark taken off. Raises UnreadableFile where it is not UTF-8."""
        return self._decoded(at, at + 1)

    def whole(self) -> str:
        """All rows with the lines' ends between them. Raises UnreadableFile where they are not UTF-8."""
        return self._decoded(0, len(self))

    def _decoded(self, first: int, end: int) -> str:
        start, stop = int(self._starts[first]), int(self._ends[end - 1])
        with self._lock:
            self._file.seek(start)
            read = self._file.read(stop - start)
        try:
            return read.removeprefix(b"\xef\xbb\xbf" if start == 0 else b"").decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"{self.where(first)}: not UTF-8 at byte {error.start} from the start of the line",
                expected="UTF-8 text, gzipped or not",
                hint="convert the file, for example with iconv",
            ) from error

    def where(self, at: int) -> str:
        """file:line, lines from 1."""
        return f"{self.path}:{at + 1 if self._numbers is None else int(self._numbers[at])}"

    def digest(self) -> str:
        """Hex SHA-256 of the file's bytes."""
        return file_digest(self.path)


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error}", expected="a file", hint="check the path") from error


def _plain(path: Path, scratch: Path | None) -> IO[bytes]:
    file = path.open("rb")
    if file.read(2) != _GZIP:
        return file
    file.seek(0)
    try:
        copy = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - it lives as long as the rows
    except OSError as error:
        raise StorageError(
            f"no temporary file for the content of {path}: {error}",
            expected="a folder with room for the unpacked file",
            hint="set TMPDIR, or unpack the file yourself: gunzip --keep",
        ) from error
    with file, gzip.GzipFile(fileobj=file) as packed:
        shutil.copyfileobj(packed, copy, _BLOCK)
    return copy


Offsets = Int[np.ndarray, " rows"]


def _indexed(file: IO[bytes], *, quoted: bool) -> tuple[Offsets, Offsets, Offsets | None]:
    """Starts and ends of the rows, and their line numbers where these are not simply 1, 2, 3."""
    file.seek(0)
    found = [np.zeros(1, dtype=np.int64)]
    numbers = [np.ones(1, dtype=np.int64)]
    at = lines = quotes = 0
    while block := file.read(_BLOCK):
        data = np.frombuffer(block, dtype=np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        if quoted:
            inside = (quotes + np.cumsum(data == _QUOTE, dtype=np.int64)) % 2
            quotes = int(inside[-1])
            outer = np.flatnonzero(inside[ends] == 0)
            numbers.append(outer + (lines + 2))
            lines += len(ends)
            ends = ends[outer]
        found.append(ends + (at + 1))
        at += len(block)
    found.append(np.array([at], dtype=np.int64))
    bounds = np.concatenate(found)
    start, end = bounds[:-1], bounds[1:]  # views of one table
    number = np.concatenate(numbers) if quoted else None
    kept = _holds_text(file, start, end)
    if not kept.all():
        rows = np.flatnonzero(kept)
        is_end_alone = not quoted and len(rows) and rows[-1] == len(rows) - 1
        start, end = (bounds[: len(rows)], bounds[1 : len(rows) + 1]) if is_end_alone else (start[rows], end[rows])
        number = number[rows] if number is not None else None if is_end_alone else rows + 1
    return start, end, number


def _holds_text(file: IO[bytes], start: Offsets, end: Offsets) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """False for lines that have nothing but their end; only the shortest are looked at."""
    length = end - start
    kept: np.ndarray[tuple[int], np.dtype[np.bool_]] = length > 1
    for row in np.flatnonzero((length == 2) | ((length == 1) & (np.arange(len(end)) == len(end) - 1))):
        file.seek(int(start[row]))
        kept[row] = bool(file.read(int(length[row])).strip())
    return kept


_LOOKED_AT = 1000


class RowTable(Protocol):
    """A table whose rows are read by number, from 0, in any order."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns; of JSON lines the fields of the first thousand."""
        ...

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def row(self, at: int) -> Mapping[str, Any]:
        """A row. Raises InvalidInput, naming file and line, for an invalid one."""
        ...

    def where(self, at: int) -> str:
        """file:line, or what comes nearest to it."""
        ...

    def digest(self) -> str:
        """Hex SHA-256 of the whole content."""
        ...


class JsonRows:
    """A file of JSON objects, one a line, gzipped or not; or of arrays, whose items `columns` names."""

    def __init__(self, path: Path, *, columns: Sequence[str] = (), scratch: Path | None = None) -> None:
        self._lines = LineFile(path, scratch=scratch)
        self._columns = columns
        self.where, self.digest = self._lines.where, self._lines.digest

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def names(self) -> tuple[str, ...]:
        """The fields of the first rows, since a row may lack some; rows that are none do not count here."""
        found: dict[str, None] = {}
        for at in range(min(len(self), _LOOKED_AT)):
            try:
                found.update(dict.fromkeys(self.row(at)))
            except (InvalidInput, UnreadableFile):
                continue
        return tuple(found)

    def row(self, at: int) -> Mapping[str, Any]:
        """The fields of a line. Raises InvalidInput."""
        try:
            found = json.loads(self._lines.text(at))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"{self.where(at)}: not usable JSON: {error}",
                expected="one JSON object a line",
                hint="correct the line, or remove it",
            ) from error
        return _named(found, self._columns, self.where(at))

    def array(self) -> list[Any] | None:
        """The items of the array that the file is, read whole; None for JSON lines. Raises InvalidInput."""
        first = self._lines.text(0).lstrip() if len(self) else ""
        is_one_line = len(self) == 1
        if not first.startswith("[") or (_is_json(first) and not is_one_line):
            return None
        try:
            found: list[Any] = json.loads(self._lines.whole())
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"{self.where(0)} begins an array that is not usable JSON: {error}",
                expected="an array of objects, or one JSON object a line",
                hint="see whether the file is whole",
            ) from error
        return None if is_one_line and not all(isinstance(item, dict | list) for item in found) else found


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def json_rows(path: Path, *, columns: Sequence[str] = (), scratch: Path | None = None) -> RowTable:
    """The rows of a file of JSON lines, or of one JSON array, which is read whole: told by the content.

    `columns` names the items of rows that are arrays. Raises InvalidInput, UnreadableFile, StorageError.
    """
    lines = JsonRows(path, columns=columns, scratch=scratch)
    listed = lines.array()
    if listed is None:
        if len(lines) and not lines.names:
            lines.row(0)  # says what is wrong
        return lines
    if listed and not columns:
        _named(listed[0], (), f"{path} item:1")
    return ListedRows(listed, names=columns, name=f"{path} item")


def _named(row: Any, columns: Sequence[str], where: str) -> Mapping[str, Any]:
    """A row by column, whose items `columns` names where they have none. Raises InvalidInput."""
    if isinstance(row, Mapping):
        return row
    if columns and isinstance(row, Collection) and not isinstance(row, str) and len(row) == len(columns):
        return dict(zip(columns, row, strict=True))
    if columns:
        raise InvalidInput(
            f"{where}: {row!r:.80}", expected=f"a row of {', '.join(columns)}", hint="give every row the same columns"
        )
    raise InvalidInput(
        f"{where}: a JSON {type(row).__name__}",
        expected='an object such as {"query": "…", "positive": "…"}',
        hint=f"name the items of lists in their order: {IN_ORDER}",
    )


IN_ORDER = 'columns = ["query", "positive"] in a recipe, or --columns query,positive'


class CsvRows:
    """A CSV or TSV file, gzipped or not. Its first row names the columns, or `columns` does.

    CSV is quoted as RFC 4180 says; its separator is a comma, or a semicolon where the first row has no comma.
    TSV knows no quotes: a double quote is a character like any other.
    """

    def __init__(self, path: Path, *, tabs: bool, columns: Sequence[str] = (), scratch: Path | None = None) -> None:
        self._lines = LineFile(path, quoted=not tabs, scratch=scratch)
        self._separator = "\t"
        if not len(self._lines):
            raise InvalidInput(f"{path} is empty", expected="a first row that names the columns", hint="check the path")
        head = self._lines.text(0)
        if not tabs:
            self._separator = ";" if ";" in head and "," not in head else ","
        self.names = tuple(columns) or tuple(cell.strip() for cell in self._cells(0))
        has_names = not columns or [c.strip(' "') for c in head.split(self._separator)] == list(columns)
        self._first = 1 if has_names else 0
        self.digest = self._lines.digest
        if len(set(self.names)) < len(self.names):
            raise InvalidInput(
                f"{path}: columns {', '.join(self.names)}",
                expected="different names",
                hint="rename a column in the first row",
            )

    def __len__(self) -> int:
        return len(self._lines) - self._first

    def where(self, at: int) -> str:
        """file:line."""
        return self._lines.where(at + self._first)

    def row(self, at: int) -> Mapping[str, Any]:
        """The cells by column. Raises InvalidInput for another number of them than columns."""
        cells = self._cells(at + self._first)
        if len(cells) != len(self.names):
            raise InvalidInput(
                f"{self.where(at)}: {len(cells)} cells",
                expected=f"{len(self.names)}: {', '.join(self.names)}",
                hint="look for a stray quote or separator in this row or the one before",
            )
        return dict(zip(self.names, cells, strict=True))

    def _cells(self, line: int) -> list[str]:
        text = self._lines.text(line)
        if self._separator == "\t":
            return text.split("\t")
        try:
            return next(csv.reader(text.splitlines(keepends=True), delimiter=self._separator, strict=True))
        except csv.Error as error:
            raise InvalidInput(
                f"{self._lines.where(line)}: {error}",
                expected='cells with quotes doubled, as in "say ""this"""',
                hint="correct the line",
            ) from error


class ListedRows:
    """Rows in memory: mappings, or tuples with the names of their columns."""

    def __init__(self, rows: Sequence[Any], *, names: Sequence[str] = (), name: str = "rows") -> None:
        self._rows, self._name, self._columns = rows, name, tuple(names)
        first = rows[0] if len(rows) else {}
        if isinstance(first, Mapping):
            looked_at = [rows[at] for at in range(min(len(rows), _LOOKED_AT))]
            self.names = tuple(dict.fromkeys(key for row in looked_at if isinstance(row, Mapping) for key in row))
        else:
            self.names = self._columns = self._columns or _usual(first)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, at: int) -> Mapping[str, Any]:
        """A row by column. Raises InvalidInput for a tuple of another length."""
        return _named(self._rows[at], self._columns, self.where(at))

    def where(self, at: int) -> str:
        """name:number, from 1."""
        return f"{self._name}:{at + 1}"

    def digest(self) -> str:
        """Hex SHA-256 of the rows as JSON lines."""
        whole = hashlib.sha256()
        for at in range(len(self)):
            line = json.dumps(dict(self.row(at)), ensure_ascii=True, default=str) + "\n"
            whole.update(line.encode())
        return whole.hexdigest()


def _usual(row: Any) -> tuple[str, ...]:
    """(query, positive, negative_1, …) for tuples without names."""
    length = len(row) if isinstance(row, Collection) and not isinstance(row, str) else 0
    return ("query", "positive", *(f"negative_{n}" for n in range(1, length - 1)))[:length]


class ParquetRows:
    """A Parquet file, copied once into an Arrow file that is read from disk by row."""

    def __init__(self, path: Path, *, scratch: Path | None = None) -> None:
        pyarrow = _arrow(path)
        from pyarrow import parquet

        self._path = path
        try:
            file = parquet.ParquetFile(path)
            self._copy = tempfile.NamedTemporaryFile(dir=scratch, suffix=".arrow")  # noqa: SIM115
            with pyarrow.ipc.new_file(self._copy.name, file.schema_arrow) as writer:
                for batch in file.iter_batches(batch_size=4096):
                    writer.write_batch(batch)
            self._reader = pyarrow.ipc.open_file(pyarrow.memory_map(self._copy.name))
        except (OSError, pyarrow.ArrowException) as error:
            raise UnreadableFile(
                f"{path} cannot be read as Parquet: {error}",
                expected="a sound Parquet file, and room for a copy of its rows",
                hint="see whether the file is whole; TMPDIR says where the copy goes",
            ) from error
        self.names = tuple(str(name) for name in self._reader.schema.names)
        sizes = [self._reader.get_batch(n).num_rows for n in range(self._reader.num_record_batches)]
        self._ends = np.cumsum(np.array(sizes, dtype=np.int64))

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def row(self, at: int) -> Mapping[str, Any]:
        """A row by column."""
        batch = int(np.searchsorted(self._ends, at, side="right"))
        inside = at - (int(self._ends[batch - 1]) if batch else 0)
        found: Mapping[str, Any] = self._reader.get_batch(batch).slice(inside, 1).to_pylist()[0]
        return found

    def where(self, at: int) -> str:
        """file:row, from 1."""
        return f"{self._path}:{at + 1}"

    def digest(self) -> str:
        """Hex SHA-256 of the file's bytes."""
        return file_digest(self._path)


def _arrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc  # noqa: F401
    except ImportError as error:
        raise InvalidInput(
            f"{path}, a Parquet file, without the library that reads it",
            expected="pyarrow, which the extra gnomon[data] installs",
            hint="pip install 'gnomon[data]', or convert the file to JSON lines",
        ) from error
    return pyarrow


class DatasetRows:
    """A data set of the `datasets` library: a folder that `save_to_disk` wrote, or a name."""

    def __init__(self, name: str, *, split: str = "train") -> None:
        try:
            import datasets
        except ImportError as error:
            raise InvalidInput(
                f"the data set {name} without the library that reads it",
                expected="datasets, which the extra gnomon[data] installs",
                hint="pip install 'gnomon[data]', or save the set as JSON lines",
            ) from error
        self._name, self._split = name, split
        try:
            there = Path(name).exists()
            found = datasets.load_from_disk(name) if there else datasets.load_dataset(name, split=split)
            self._rows = found[split] if isinstance(found, Mapping) else found
        except (OSError, ValueError, KeyError) as error:
            raise InvalidInput(
                f"the data set {name}, split {split}: {error}",
                expected="a folder that save_to_disk wrote, or a data set that can be had",
                hint="check name and split",
            ) from error
        self.names = tuple(str(name) for name in self._rows.column_names)

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, at: int) -> Mapping[str, Any]:
        """A row by column."""
        found: Mapping[str, Any] = self._rows[int(at)]
        return found

    def where(self, at: int) -> str:
        """name[split]:row, from 1."""
        return f"{self._name}[{self._split}]:{at + 1}"

    def digest(self) -> str:
        """Hex SHA-256 of the rows as JSON lines."""
        return ListedRows(_Numbered(self), name=self._name).digest()


class _Numbered(Sequence[Any]):
    """Rows as a sequence of mappings."""

    def __init__(self, rows: RowTable) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        return self._rows.row(at)

    def __iter__(self) -> Iterator[Any]:
        return (self._rows.row(at) for at in range(len(self)))
