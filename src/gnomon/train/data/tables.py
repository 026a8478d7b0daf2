"""Rows with named fields, by number: JSON lines, CSV, TSV, Parquet, `datasets`, and lists in memory."""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.train.data.lines import LineFile, file_digest

_LOOKED_AT = 1000


class Rows(Protocol):
    """A table whose rows are read by number, from 0, in any order."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns; of JSON lines the fields of the first thousand."""
        ...

    def __len__(self) -> int:
        """How many rows there are."""
        ...

    def row(self, at: int) -> Mapping[str, Any]:
        """A row. Raises InvalidInput, naming file and line, where it is none."""
        ...

    def where(self, at: int) -> str:
        """file:line, or what comes nearest to it."""
        ...

    def digest(self) -> str:
        """Hex SHA-256 of the whole content."""
        ...


class JsonRows:
    """A file of JSON objects, one a line, gzipped or not."""

    def __init__(self, path: Path, *, scratch: Path | None = None) -> None:
        self._lines = LineFile(path, scratch=scratch)
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
        """The object of a line. Raises InvalidInput."""
        try:
            found = json.loads(self._lines.text(at))
        except (ValueError, RecursionError) as error:
            raise InvalidInput(
                f"{self.where(at)}: not usable JSON: {error}",
                wanted="one JSON object a line",
                next_step="correct the line, or take it out",
            ) from error
        if not isinstance(found, dict):
            raise InvalidInput(
                f"{self.where(at)}: a JSON {type(found).__name__}",
                wanted="one JSON object a line",
                next_step='write {"query": "…", "positive": "…"}',
            )
        return found


class CellRows:
    """A CSV or TSV file whose first row names the columns, gzipped or not.

    CSV is quoted as RFC 4180 says; its separator is a comma, or a semicolon where the first row has no comma.
    TSV knows no quotes: a double quote is a character like any other.
    """

    def __init__(self, path: Path, *, tabs: bool, scratch: Path | None = None) -> None:
        self._lines = LineFile(path, quoted=not tabs, scratch=scratch)
        self._separator = "\t"
        if not len(self._lines):
            raise InvalidInput(
                f"{path} is empty", wanted="a first row that names the columns", next_step="check the path"
            )
        head = self._lines.text(0)
        if not tabs:
            self._separator = ";" if ";" in head and "," not in head else ","
        self.names = tuple(cell.strip() for cell in self._cells(0))
        self.digest = self._lines.digest
        if len(set(self.names)) < len(self.names):
            raise InvalidInput(
                f"{path}: columns {', '.join(self.names)}",
                wanted="different names",
                next_step="rename a column in the first row",
            )

    def __len__(self) -> int:
        return len(self._lines) - 1

    def where(self, at: int) -> str:
        """file:line."""
        return self._lines.where(at + 1)

    def row(self, at: int) -> Mapping[str, Any]:
        """The cells by column. Raises InvalidInput for another number of them than columns."""
        cells = self._cells(at + 1)
        if len(cells) != len(self.names):
            raise InvalidInput(
                f"{self.where(at)}: {len(cells)} cells",
                wanted=f"{len(self.names)}: {', '.join(self.names)}",
                next_step="look for a stray quote or separator in this row or the one before",
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
                wanted='cells with quotes doubled, as in "say ""this"""',
                next_step="correct the line",
            ) from error


class ListedRows:
    """Rows in memory: mappings, or tuples with the names of their columns."""

    def __init__(self, rows: Sequence[Any], *, names: Sequence[str] = (), name: str = "rows") -> None:
        self._rows, self._name = rows, name
        first = rows[0] if len(rows) else {}
        self.names = tuple(names) or (tuple(first) if isinstance(first, Mapping) else _usual(len(first)))

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, at: int) -> Mapping[str, Any]:
        """A row by column. Raises InvalidInput for a tuple of another length."""
        found = self._rows[at]
        if isinstance(found, Mapping):
            return found
        if isinstance(found, str) or len(found) != len(self.names):
            raise InvalidInput(
                f"{self.where(at)}: {found!r:.80}",
                wanted=f"a tuple of {', '.join(self.names)}",
                next_step="give every row the same columns",
            )
        return dict(zip(self.names, found, strict=True))

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


def _usual(length: int) -> tuple[str, ...]:
    """(query, positive, negative_1, …) for tuples without names."""
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
                wanted="a sound Parquet file, and room for a copy of its rows",
                next_step="see whether the file is whole; TMPDIR says where the copy goes",
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
        """Hex SHA-256 of the file as it lies there."""
        return file_digest(self._path)


def _arrow(path: Path) -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError as error:
        raise InvalidInput(
            f"{path}, a Parquet file, without the library that reads it",
            wanted="pyarrow, which the extra gnomon[data] installs",
            next_step="pip install 'gnomon[data]', or convert the file to JSON lines",
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
                wanted="datasets, which the extra gnomon[data] installs",
                next_step="pip install 'gnomon[data]', or save the set as JSON lines",
            ) from error
        self._name, self._split = name, split
        try:
            there = Path(name).exists()
            found = datasets.load_from_disk(name) if there else datasets.load_dataset(name, split=split)
            self._rows = found[split] if isinstance(found, Mapping) else found
        except (OSError, ValueError, KeyError) as error:
            raise InvalidInput(
                f"the data set {name}, split {split}: {error}",
                wanted="a folder that save_to_disk wrote, or a data set that can be had",
                next_step="check name and split",
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

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: Any) -> Any:
        return self._rows.row(at)

    def __iter__(self) -> Iterator[Any]:
        return (self._rows.row(at) for at in range(len(self)))
