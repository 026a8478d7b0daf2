"""Registered tables, their columns, and names that are safe in SQL and in prompts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from gnomon.core.errors import UnreadableFile
from gnomon.core.serialize import to_plain
from gnomon.text.decode import clean

TableKind = Literal["csv", "parquet", "sqlite"]
ColumnKind = Literal["integer", "real", "text", "date", "truth"]
"""Dates are text as in ISO 8601, truths 0 and 1."""
NUMBERS: tuple[ColumnKind, ...] = ("integer", "real")
MAX_NAME_LENGTH = 100
"""Characters of a column's name."""
_DELIMITERS = re.compile(r"</?rows>|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
Value = str | int | float | bytes | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column and what it holds."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class TableInfo:
    """A table beside the documents: `table` is its name within a SQLite file, `rows` their number when it was
    registered. A row is cited as "name#number": the data rows of a file count from 1; of SQLite it is the
    rowid, or without one the place in the order of the primary key.
    """

    name: str
    path: str
    kind: TableKind
    columns: tuple[Column, ...]
    rows: int
    table: str = ""
    added: str = ""

    @property
    def title(self) -> str:
        """The name, and the table's own where it is another."""
        return self.name if self.table in ("", self.name) else f"{self.name} ({self.table})"

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        plain: dict[str, Any] = to_plain(self)
        return plain


def table_error(name: str, message: str, *, expected: str = "", hint: str = "") -> UnreadableFile:
    """The error of a table that cannot be queried; its message begins with the table's name."""
    return UnreadableFile(
        f"table {name}: {message}",
        expected=expected or "the file as it was registered, with rows in it",
        hint=hint
        or f"put the file right, register it anew (gnomon tables add KB FILE --name {name}), "
        f"or forget it: gnomon tables remove KB {name}",
    )


def unique_names(names: list[str]) -> list[str]:
    """Column names on one line each that differ even where case does not count, as in SQL.

    >>> unique_names(["Name", "name", " net  total "])
    ['Name', 'name 2', 'net total']
    """
    taken: set[str] = set()
    unique = []
    for at, name in enumerate(names, start=1):
        # A name stands in prompts and in SQL, where neither a line's end nor a delimiter may come from a file.
        first = " ".join(_DELIMITERS.sub("", clean(name)).split())[:MAX_NAME_LENGTH] or f"column {at}"
        plain, number = first, 2
        while plain.casefold() in taken:
            plain, number = f"{first} {number}", number + 1
        taken.add(plain.casefold())
        unique.append(plain)
    return unique


def quote_name(name: str) -> str:
    """A name as SQL writes it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
