"""Examples by number, whatever they are kept in."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Example
from gnomon.train.data.columns import Form, Reading
from gnomon.train.data.tables import LineFile, Rows


class Examples(Protocol):
    """Examples read by number, from 0, in any order."""

    @property
    def form(self) -> Form:
        """What they are."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def example(self, at: int, source: str) -> Example:
        """An example under the name of its source. Raises InvalidInput, naming file and line."""
        ...

    def where(self, at: int) -> str:
        """file:line."""
        ...

    def digest(self) -> str:
        """Hex SHA-256 of the whole content."""
        ...


@dataclass(frozen=True, eq=False)
class TableExamples:
    """A row of a table each."""

    rows: Rows
    reading: Reading

    @property
    def form(self) -> Form:
        """What the columns say."""
        return self.reading.columns.form

    def __len__(self) -> int:
        return len(self.rows)

    def example(self, at: int, source: str) -> Example:
        """The row as an example. Raises InvalidInput, naming file and line."""
        return self.reading.example(self.rows.row(at), source=source, where=self.rows.where(at))

    def where(self, at: int) -> str:
        """file:line."""
        return self.rows.where(at)

    def digest(self) -> str:
        """Hex SHA-256 of the file, and of how it is read where that is not by its columns' names alone."""
        return self.rows.digest()


class ListedExamples:
    """Examples in memory."""

    def __init__(self, examples: Sequence[Example], *, name: str = "examples") -> None:
        self._examples, self._name = tuple(examples), name
        if not all(isinstance(example, Example) for example in self._examples):
            raise InvalidInput("a list with items that are no Example", expected="Example values only")

    @property
    def form(self) -> Form:
        """What the first one is."""
        return _form(self._examples[0]) if self._examples else "pairs"

    def __len__(self) -> int:
        return len(self._examples)

    def example(self, at: int, source: str) -> Example:
        """The example; its own id stays."""
        found = self._examples[at]
        return replace(found, source=source, id=found.id or self.where(at))

    def where(self, at: int) -> str:
        """The example's id, or name:number, from 1."""
        return self._examples[at].id or f"{self._name}:{at + 1}"

    def digest(self) -> str:
        """Hex SHA-256 of queries, documents and labels."""
        whole = hashlib.sha256()
        for one in self._examples:
            whole.update(json.dumps([one.query, one.documents, one.labels, one.also]).encode() + b"\n")
        return whole.hexdigest()


class SpooledExamples:
    """Examples of any generator, written once to a temporary file and read from there by number.

    The file has no name and is gone with the process. `scratch` is its folder; None is the system's.
    """

    def __init__(self, examples: Iterable[Example], *, name: str, scratch: Path | None = None) -> None:
        file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - it lives as long as the examples
        whole = hashlib.sha256()
        for one in examples:
            plain = [one.query, one.documents, one.labels, one.also, one.id]
            line = json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            whole.update(line)
            file.write(line)
        file.flush()
        self._digest = whole.hexdigest()
        self._lines = LineFile(Path(name), file=file)

    @property
    def form(self) -> Form:
        """What the first one is."""
        return _form(self.example(0, "")) if len(self) else "pairs"

    def __len__(self) -> int:
        return len(self._lines)

    def example(self, at: int, source: str) -> Example:
        """The example with this number."""
        query, documents, labels, also, own = json.loads(self._lines.text(at))
        return Example(query, tuple(documents), tuple(labels), source, own or self._lines.where(at), tuple(also))

    def where(self, at: int) -> str:
        """The example's id, or name:number, from 1."""
        return self.example(at, "").id

    def digest(self) -> str:
        """Hex SHA-256 of what was written."""
        return self._digest


def _form(example: Example) -> Form:
    labels = example.labels
    if set(labels) - {0.0, 1.0} or 1.0 not in labels:
        return "scored"
    forms: tuple[Form, Form, Form] = ("pairs", "triplets", "n-tuples")
    return forms[min(2, labels.count(0.0))]


def to_row(example: Example) -> dict[str, Any]:
    """An example as a row that a source reads back: query, positive, negative (a list); or with scores."""
    right = example.labels.count(1.0)
    wanted = (1.0,) * right + (0.0,) * (len(example.labels) - right)
    row: dict[str, Any] = {"query": example.query}
    if right and example.labels == wanted:
        row["positive"] = _flat(example.documents[:right])
        return row | {"negative": list(example.documents[right:])}
    return row | {"positive": _flat(example.documents), "score": _flat(example.labels)}


def _flat(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else list(values)
