"""A source: examples under one name, with its prompts and its share of the batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import InvalidInput, UnusedColumns
from gnomon.core.files import exists
from gnomon.train.batch import Example
from gnomon.train.data.examples import (
    ColumnRoles,
    Examples,
    Form,
    ListedExamples,
    RowReader,
    SpooledExamples,
    TableExamples,
    detect_columns,
)
from gnomon.train.data.nli import nli_classes
from gnomon.train.data.tables import CsvRows, DatasetRows, ListedRows, ParquetRows, RowTable, json_rows

Format = Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "datasets", "beir", "documents"]
Make = Literal["titles", "headings", "spans"]
Columns = Mapping[str, Any] | tuple[str, ...]
_SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}


@dataclass(frozen=True)
class DataSourceSettings:
    """Where examples come from. `path` is a file, a folder, or (format "datasets") a data set's name.

    `name` is what batches and prompts call it; "" is the file's own. `columns` maps query, positive, negative
    and label to column names where these are not known ones, or lists the columns' names in their order where
    the file has none. `scale` is the range of scores, brought to 0 to
    1. `split` is for BEIR folders and `datasets`. `make` says what documents become. `weight` is the share of
    batches where sources are mixed by weight. `prompts` maps "query" and "document" to a prompt. `limit`
    keeps the first so many.
    """

    path: str
    name: str = ""
    format: Format = "auto"
    split: str = ""
    columns: Columns = field(default_factory=dict)
    scale: tuple[float, float] | None = None
    make: Make = "headings"
    weight: float = 1.0
    limit: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise InvalidInput(f"format {self.format!r}", expected=f"one of {', '.join(get_args(Format))}")
        if self.make not in get_args(Make):
            raise InvalidInput(f"make {self.make!r}", expected=f"one of {', '.join(get_args(Make))}")
        if not isinstance(self.columns, Mapping):
            _require_names(self.columns)
        if self.scale is not None and not (len(self.scale) == 2 and self.scale[0] < self.scale[1]):
            raise InvalidInput(f"scale {list(self.scale)}", expected="the lowest score, then the highest")
        if not 0 < self.weight < float("inf"):
            raise InvalidInput(f"weight {self.weight}", expected="a number above 0")
        if self.limit is not None and self.limit < 1:
            raise InvalidInput(f"limit {self.limit}", expected="at least 1, or no limit")
        if unknown := set(self.prompts) - {"query", "document"}:
            raise InvalidInput(f"a prompt for {sorted(unknown)[0]!r}", expected="prompts for query and document")


@dataclass(frozen=True, eq=False)
class DataSource:
    """Examples by number. `kept` holds the numbers that are used, rising; None is all of them."""

    name: str
    examples: Examples
    prompts: Mapping[str, str] = field(default_factory=dict)
    weight: float = 1.0
    kept: Int[np.ndarray, " kept"] | None = None

    @property
    def form(self) -> Form:
        """Pairs, triplets, n-tuples, scored pairs, or parallel sentences."""
        return self.examples.form

    @property
    def is_beir(self) -> bool:
        """Whether it is a BEIR folder, which has a corpus beside its examples."""
        from gnomon.train.data.beir import BeirExamples

        return isinstance(self.examples, BeirExamples)

    def __len__(self) -> int:
        return len(self.examples) if self.kept is None else len(self.kept)

    def __getitem__(self, at: int) -> Example:
        """The example with this number. Raises InvalidInput, naming file and line, for an invalid row."""
        return self.examples.example(self._own(at), self.name)

    def __iter__(self) -> Iterator[Example]:
        return (self[at] for at in range(len(self)))

    def where(self, at: int) -> str:
        """file:line of an example."""
        return self.examples.where(self._own(at))

    def _own(self, at: int) -> int:
        if not 0 <= at < len(self):
            raise IndexError(at)
        return at if self.kept is None else int(self.kept[at])

    def without(self, positions: Iterable[int]) -> DataSource:
        """The same source, these examples left out."""
        own = np.arange(len(self.examples), dtype=np.int64) if self.kept is None else self.kept
        return replace(self, kept=np.delete(own, np.array(sorted(positions), dtype=np.int64)))

    def first(self, count: int) -> DataSource:
        """The same source, no more than its first `count`."""
        own = np.arange(len(self.examples), dtype=np.int64) if self.kept is None else self.kept
        return replace(self, kept=own[:count])

    def digest(self) -> str:
        """Hex SHA-256 of the whole source, whichever examples are kept."""
        return self.examples.digest()


def open_source(settings: DataSourceSettings | str | Path, *, scratch: Path | None = None) -> DataSource:
    """The source at a path, recognised by its suffix or content. A file's rows are read when they are accessed.

    Raises InvalidInput for what is not there or in no known form, and for columns that are not recognised by their
    names; UnreadableFile, StorageError.
    """
    if not isinstance(settings, DataSourceSettings):
        settings = DataSourceSettings(str(settings))
    kind = _format(settings)
    path = Path(settings.path).expanduser()
    name = settings.name or Path(path.name.removesuffix(".gz")).stem or settings.path
    found = _examples(settings, kind, path, scratch=scratch)
    if not len(found):
        raise InvalidInput(f"{settings.path} holds no example", expected="at least one", hint="look at it")
    source = DataSource(name, found, settings.prompts, settings.weight)
    return source if settings.limit is None else source.first(settings.limit)


def listed_source(rows: Sequence[Any], *, name: str = "rows", columns: Columns | None = None) -> DataSource:
    """A source in memory: Examples, mappings with named columns, or tuples (query, positive, negative, …).

    `columns` maps roles to names, or lists the names of tuples' items.
    """
    if len(rows) and isinstance(rows[0], Example):
        return DataSource(name, ListedExamples(rows, name=name))
    names, roles = _names_and_roles(columns or {})
    table = ListedRows(rows, names=names, name=name)
    return DataSource(name, TableExamples(table, RowReader(detect_columns(table.names, roles, where=name))))


def _names_and_roles(columns: Columns) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    return ((), columns) if isinstance(columns, Mapping) else (tuple(columns), {})


def _require_names(names: Sequence[Any]) -> None:
    """Raise InvalidInput for names of columns that cannot be these."""
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise InvalidInput(f"columns {names!r:.80}", expected="a list of texts, or a table of roles", hint="correct it")
    if len(set(names)) < len(names):
        raise InvalidInput(f"columns {', '.join(names)}", expected="different names", hint="rename one of them")


def spooled_source(examples: Iterable[Example], *, name: str, scratch: Path | None = None) -> DataSource:
    """A source of examples from a generator, kept in a temporary file rather than in memory."""
    return DataSource(name, SpooledExamples(examples, name=name, scratch=scratch))


def prompts_by_source(sources: Iterable[DataSource]) -> dict[str, str]:
    """The sources' prompts by "source/role": a plain mapping, as models store it."""
    return {f"{source.name}/{role}": text for source in sources for role, text in source.prompts.items()}


def _format(settings: DataSourceSettings) -> Format:
    path = Path(settings.path).expanduser()
    if settings.format == "datasets":
        return "datasets"
    if not exists(path):
        raise InvalidInput(
            f"{settings.path} does not exist",
            expected="a file or folder of examples",
            hint='correct the path; for a data set of the hub say format = "datasets"',
        )
    if settings.format != "auto":
        return settings.format
    if path.is_dir():
        if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
            return "datasets"
        if any(path.glob("corpus.jsonl*")):
            return "beir"
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if path.is_file() and suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    found_path = "a folder" if path.is_dir() else f"a file that ends with {suffix!r}"
    raise InvalidInput(
        f"{settings.path}, {found_path}",
        expected="jsonl, json, csv, tsv (each also .gz), parquet, a BEIR folder or a saved `datasets` folder",
        hint='say what it is: format = "documents" for files to make examples from',
    )


def _examples(settings: DataSourceSettings, kind: Format, path: Path, *, scratch: Path | None) -> Examples:
    if kind == "beir":
        from gnomon.train.data.beir import BeirExamples

        return BeirExamples(path, split=settings.split, scratch=scratch)
    if kind == "documents":
        from gnomon.train.data.documents import from_documents, read_documents

        made = from_documents(read_documents([path]), settings.make)
        return SpooledExamples(made, name=path.name, scratch=scratch)
    rows = _rows(settings, kind, path, scratch=scratch)
    if not len(rows):
        return ListedExamples(())
    _, roles = _names_and_roles(settings.columns)
    columns = detect_columns(rows.names, roles, where=settings.path)
    _warn_unused(rows.names, columns, where=settings.path)
    classes = None
    if len(columns.labels) == 1 and settings.scale is None:
        classes = nli_classes(rows, columns.query, columns.labels[0], where=settings.path)
    return TableExamples(rows, RowReader(columns, settings.scale, classes))


def _rows(settings: DataSourceSettings, kind: Format, path: Path, *, scratch: Path | None) -> RowTable:
    names, _ = _names_and_roles(settings.columns)
    if kind in ("jsonl", "json"):
        return json_rows(path, columns=names, scratch=scratch)
    if kind in ("csv", "tsv"):
        return CsvRows(path, tabs=kind == "tsv", columns=names, scratch=scratch)
    if names:
        raise InvalidInput(
            f"{settings.path}, whose columns have names, with the list of columns {', '.join(names)}",
            expected="which column is which",
            hint='correct it: columns = {query = "title", positive = ["body"]}, or --columns query=title,positive=body',
        )
    if kind == "parquet":
        return ParquetRows(path, scratch=scratch)
    return DatasetRows(settings.path, split=settings.split or "train")


_OF_FLAG_EMBEDDING = {
    "prompt": 'say it once for the source: prompts = {query = "…"}',
    "pos_scores": 'to distil them: columns = {label = ["pos_scores", "neg_scores"]}',
    "neg_scores": 'to distil them: columns = {label = ["pos_scores", "neg_scores"]}',
    "type": "the loss is the recipe's",
}
"""Fields of rows as FlagEmbedding writes them, beside query, pos and neg, and what to do about each."""


def _warn_unused(names: Sequence[str], columns: ColumnRoles, *, where: str) -> None:
    """Warn UnusedColumns of fields that another trainer would heed."""
    used = {columns.query, *columns.positives, *columns.negatives, *columns.labels}
    unused = [name for name in names if name in _OF_FLAG_EMBEDDING and name not in used]
    if unused and "pos" in columns.positives:
        advice = "; ".join(dict.fromkeys(_OF_FLAG_EMBEDDING[name] for name in unused))
        warnings.warn(f"{where}: {', '.join(unused)} of its rows are not used ({advice})", UnusedColumns, stacklevel=4)
