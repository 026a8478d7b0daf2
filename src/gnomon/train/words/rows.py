"""Rows of text files of word vectors, checked: what is wrong is said with its line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.train.words.vectors import WordVectors

_GZIP = b"\x1f\x8b"


@dataclass
class Table:
    """Words and rows as they come in. The only mutable value here: files are larger than lists of arrays."""

    path: Path
    dim: int
    rows: Float[np.ndarray, "room dim"]
    words: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, dim: int, room: int) -> Table:
        """An empty table with room for so many rows to begin with."""
        return cls(path, dim, np.empty((max(room, 1), dim), dtype=np.float32))

    def add(self, word: str, row: Float[np.ndarray, " dim"], where: str) -> None:
        """Put a row in. Raises InvalidInput for a word that is there already, NaN or infinity."""
        if not word or word in self.places:
            came = (
                f"the word {word!r} for the second time, first at {self.places[word]}" if word else "no word"
            )
            raise bad_row(self.path, where, came)
        if not np.isfinite(row).all():
            raise bad_row(self.path, where, f"{word!r} with NaN or infinite numbers")
        if len(self.words) == len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
        self.rows[len(self.words)] = row
        self.places[word] = where
        self.words.append(word)

    def done(self) -> WordVectors:
        """The word vectors, named after the file. Raises InvalidInput where there are none."""
        if not self.words:
            raise InvalidInput(
                f"{self.path} holds no vectors", wanted="at least one word", next_step="check the file"
            )
        lowercase = all(word == word.lower() for word in self.words)
        rows = np.ascontiguousarray(self.rows[: len(self.words)])
        return WordVectors.of(self.words, rows, name=self.path.name.partition(".")[0], lowercase=lowercase)


def bad_row(path: Path, where: str, came: str) -> InvalidInput:
    """The error for a row that cannot be used."""
    return InvalidInput(
        f"{path}, {where}: {came}",
        wanted="each word once, with as many finite numbers as the others",
        next_step="take the row out or correct it; a file cut off in transfer has to be fetched again",
    )


def unreadable(path: Path, after: str, error: Exception) -> UnreadableFile:
    """The error for a file that ends early or is no such file."""
    return UnreadableFile(
        f"{path} cannot be read {after}: {error}",
        wanted="a whole file of word vectors, gzipped or not",
        next_step="see whether the path is right, and fetch the file again if it was cut off",
    )


def opened(path: Path) -> IO[bytes]:
    """The file, unpacked where it is gzipped. Raises UnreadableFile."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
        return gzip.open(path) if packed else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise unreadable(path, "at all", error) from error


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 with lines, their ends taken off. Raises UnreadableFile."""
    number = 0
    with opened(path) as file:
        try:
            for number, line in enumerate(file, 1):
                yield number, line.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise unreadable(path, f"as UTF-8 in line {number}", error) from error
        except (OSError, EOFError, zlib.error) as error:
            raise unreadable(path, f"after line {number}", error) from error


def numbers_of(cells: list[str]) -> Float[np.ndarray, " dim"] | None:
    """Cells as float32; None where one is no number."""
    try:
        return np.array(cells, dtype=np.float32)
    except ValueError:
        return None
