"""Settings for finding and reading files."""

from __future__ import annotations

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

    `exclude` holds glob patterns: without a slash for the name of a file or folder at any depth, with one
    for the path below the root. `text_column` and `title_column` name the columns of a
    table that become text and title; without them a row's text is all its columns. `labels` maps
    folders (absolute) to the name that stands in front of their documents' ids: what earlier runs
    got from `label_roots`, so that ids stay the same.
    """

    max_file_mb: float = 50
    exclude: tuple[str, ...] = ()
    text_column: str | None = None
    title_column: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.max_file_mb > 0:
            raise InvalidInput(
                f"a largest file of {self.max_file_mb} MB", expected="more than 0 MB", hint="50 is usual"
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
