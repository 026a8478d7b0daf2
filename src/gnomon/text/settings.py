"""Settings for finding and reading files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gnomon.core.errors import InvalidInput

ProblemCallback = Callable[[str], None]
"""Called with one sentence for each part of a file that was left out or repaired."""


def silent(_: str) -> None:
    """Ignores every problem."""


@dataclass(frozen=True)
class ReadSettings:
    """`max_file_mb` bounds a file, and one row of the formats that are read row by row.

    An index run reads in a process of its own, in which `max_file_s` bounds the seconds that reading and chunking a
    file take (for a larger file of rows, each `max_file_mb` of it), and `max_memory_mb` the memory (on Linux).

    `exclude` holds glob patterns: without a slash for the name of a file or folder at any depth, with one
    for the path below the root. With `ignore_files`, rules in .gitignore and .gnomonignore are heeded. `text_column`
    and `title_column` name the columns of a table that become text and title; without them a row's text is all its
    columns. `labels` maps folders (absolute) to the name that stands in front of their documents' ids: what earlier
    runs got from `label_roots`, so that ids stay the same.
    """

    max_file_mb: float = 50
    max_file_s: float = 60
    max_memory_mb: float = 1000
    exclude: tuple[str, ...] = ()
    ignore_files: bool = True
    text_column: str | None = None
    title_column: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, unit, usual in (("max_file_mb", "MB", 50), ("max_file_s", "s", 60), ("max_memory_mb", "MB", 1000)):
            if not getattr(self, name) > 0:
                raise InvalidInput(
                    f"{name} is {getattr(self, name)} {unit}", expected=f"more than 0 {unit}", hint=f"{usual} is usual"
                )
        if isinstance(self.exclude, str):
            raise InvalidInput(
                f"exclude is the string {self.exclude!r}",
                expected="a sequence of patterns",
                hint=f"write exclude=({self.exclude!r},)",
            )

    @property
    def max_bytes(self) -> int:
        """The largest file in bytes."""
        return int(self.max_file_mb * 1_000_000)

    def seconds_for(self, size: int) -> float:
        """How long a file of so many bytes may take."""
        return self.max_file_s * max(1, math.ceil(size / max(1, self.max_bytes)))
