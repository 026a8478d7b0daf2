"""What is known of a registered table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gnomon.core.errors import UnreadableFile
from gnomon.text.decode import clean

Kind = Literal["csv", "parquet", "sqlite"]
ColumnKind = Literal["integer", "real", "text", "date", "truth"]
"""Dates are text as in ISO 8601, truths 0 and 1."""
NUMBERS: tuple[ColumnKind, ...] = ("integer", "real")
LONGEST_NAME = 100
"""Characters of a column's name."""
_FENCES = re.compile(r"</?rows>|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
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
    kind: Kind
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
        return asdict(self)

    @classmethod
    def from_json(cls, name: str, path: str, about: Mapping[str, Any]) -> TableInfo:
        """The inverse of `to_json`."""
        columns = tuple(Column(**column) for column in about["columns"])
        return cls(name, path, about["kind"], columns, about["rows"], about["table"], about["added"])


def unusable(name: str, message: str, *, expected: str = "", hint: str = "") -> UnreadableFile:
    """The error of a table that cannot be asked; it begins with the table's name."""
    again = "gnomon tables KB add FILE"
    return UnreadableFile(
        f"table {name}: {message}",
        expected=expected or "the file as it was registered, with rows in it",
        hint=hint
        or f"put the file right, register it anew ({again} --name {name}), "
        f"or forget it: gnomon tables KB remove {name}",
    )


def unique(names: list[str]) -> list[str]:
    """Column names on one line each that differ even where case does not count, as in SQL.

    >>> unique(["Name", "name", " net  total "])
    ['Name', 'name 2', 'net total']
    """
    taken: set[str] = set()
    found = []
    for at, name in enumerate(names, start=1):
        # A name stands in prompts and in SQL, where neither a line's end nor a fence may come from a file.
        first = " ".join(_FENCES.sub("", clean(name)).split())[:LONGEST_NAME] or f"column {at}"
        plain, number = first, 2
        while plain.casefold() in taken:
            plain, number = f"{first} {number}", number + 1
        taken.add(plain.casefold())
        found.append(plain)
    return found
