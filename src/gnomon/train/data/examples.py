"""Examples by number: rows of a table, read by the roles of its columns; lists; and examples spooled to disk."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Example
from gnomon.train.data.nli import NliClasses, class_label
from gnomon.train.data.tables import IN_ORDER, LineFile, RowTable

Form = Literal["pairs", "triplets", "n-tuples", "scored", "parallel"]
# The last ones are those of Tevatron and DPR, whose passages are objects with title and text.
_NEGATIVE = re.compile(r"(?:hard_)?neg(?:ative)?s?(?:[_-]?\d+)?|negative_passages|hard_negative_ctxs")
_LABELS = ("score", "scores", "label", "labels", "gold_label", "similarity", "similarity_score")
_QUERIES = ("query", "anchor", "question")
_POSITIVES = (
    *("positive", "positives", "pos", "document", "answer", "passage", "text"),
    *("positive_passages", "positive_ctxs"),
)
_PAIRS = (
    ("source", "translation"),
    ("source", "target"),
    ("english", "non_english"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("a", "b"),
)
_PARALLEL = 3
"""So many of the pairs, from the first, are a sentence and its translation."""
_HOW = (
    'say which is which: columns = {query = "title", positive = ["body"]} in a recipe, or --columns '
    f"query=title,positive=body; where the file names none, {IN_ORDER}"
)


@dataclass(frozen=True)
class ColumnRoles:
    """Names of columns. Positives and negatives may hold one text or a list; a negative may be missing.

    `labels` are columns of numbers, one for the only document, or lists of one for each document; those of several
    columns follow one another.
    """

    query: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    parallel: bool = False

    @property
    def form(self) -> Form:
        """What a row is."""
        if self.labels:
            return "scored"
        if self.parallel:
            return "parallel"
        return ("pairs", "triplets", "n-tuples")[min(2, len(self.negatives))]


def detect_columns(names: Sequence[str], given: Mapping[str, Any] | None = None, *, where: str = "") -> ColumnRoles:
    """Detect columns' roles by their names; `given` (query, positive, negative, label) wins, "" leaves a role out.

    Known names: query, anchor, question; positive, document, answer, passage, text; negative, negative_1;
    score, label, similarity; and the pairs sentence1/sentence2, a/b, source/translation. Case does not count.
    Raises InvalidInput for columns that are not there, for none that fit and for two that fit one role.
    """
    chosen = {role: _listed(value) for role, value in (given or {}).items()}
    _check_given(chosen, names, where)
    known = {name.lower(): name for name in names}
    pair = _pair(known) if "query" not in chosen and "positive" not in chosen else None
    query = chosen.get("query") or _one(known, _QUERIES, "query", where=where, paired=pair[0] if pair else None)
    positives = chosen.get("positive") or _one(
        known, _POSITIVES, "positive", where=where, paired=pair[1] if pair else None
    )
    negatives = chosen.get("negative", tuple(known[n] for n in known if _NEGATIVE.fullmatch(n)))
    taken = {*query, *positives, *negatives}
    labels = tuple(known[n] for n in _LABELS if n in known and known[n] not in taken)
    if "label" in chosen:
        labels = chosen["label"]
    elif len(labels) > 1:
        raise _ambiguous("label", labels, where)
    parallel = pair is not None and tuple(n.lower() for n in pair) in _PAIRS[:_PARALLEL]
    return ColumnRoles(query[0], positives, negatives, labels, parallel)


def _listed(value: Any) -> tuple[str, ...]:
    return ((value,) if value else ()) if isinstance(value, str) else tuple(value)


def _check_given(chosen: Mapping[str, tuple[str, ...]], names: Sequence[str], where: str) -> None:
    roles = ("query", "positive", "negative", "label")
    for role, columns in chosen.items():
        if role not in roles:
            raise InvalidInput(f"columns.{role}", expected=f"one of {', '.join(roles)}", hint=_HOW)
        missing = [name for name in columns if name not in names]
        if missing:
            raise InvalidInput(
                f"{where or 'the data'} has no column {missing[0]!r}; its columns: {', '.join(names)}",
                expected=f"a column for the {role}",
                hint="correct the name",
            )
        if len(columns) > 1 and role == "query":
            raise _ambiguous(role, columns, where)


def _pair(known: Mapping[str, str]) -> tuple[str, str] | None:
    if any(name in known for name in _QUERIES):
        return None
    found = [(known[a], known[b]) for a, b in _PAIRS if a in known and b in known]
    return found[0] if found else None


def _one(
    known: Mapping[str, str], names: Sequence[str], role: str, *, where: str, paired: str | None
) -> tuple[str, ...]:
    if paired is not None:
        return (paired,)
    found = tuple(known[name] for name in names if name in known)
    if len(found) > 1:
        raise _ambiguous(role, found, where)
    if not found:
        shown = ", ".join(f"{name:.40}" for name in known.values())
        raise InvalidInput(
            f"{where or 'the data'} has columns {shown}: none is the {role}",
            expected=f"one named {', '.join(names)}, or a pair such as sentence1 and sentence2",
            hint=_HOW,
        )
    return found


def _ambiguous(role: str, found: Sequence[str], where: str) -> InvalidInput:
    return InvalidInput(
        f"{where or 'the data'} has {len(found)} columns for the {role}: {', '.join(found)}",
        expected="one",
        hint=f'say which: columns = {{{role} = "{found[0]}"}}',
    )


@dataclass(frozen=True)
class RowReader:
    """Reads rows as examples: by their columns' roles, with scores scaled from `scale` to 0 to 1.

    `classes` are the labels of classes of inference, where the label column holds these.
    """

    columns: ColumnRoles
    scale: tuple[float, float] | None = None
    classes: NliClasses | None = None

    def example(self, row: Mapping[str, Any], *, source: str, where: str) -> Example:
        """The example of a row. Raises InvalidInput, naming `where`, for an invalid row."""
        columns = self.columns
        query = list(_texts(row, columns.query, where))
        if len(query) != 1:
            raise _bad(where, columns.query, row.get(columns.query), expected="one text")
        positives = [text for name in columns.positives for text in _texts(row, name, where)]
        negatives = [t for name in columns.negatives if row.get(name) is not None for t in _texts(row, name, where)]
        documents = (*positives, *negatives)
        if not documents:
            raise _bad(where, columns.positives[0], row.get(columns.positives[0]), expected="a text")
        labels = (1.0,) * len(positives) + (0.0,) * len(negatives)
        if columns.labels:
            labels = self._labels(row, len(documents), where)
        return Example(query[0], documents, labels, source, where)

    def _labels(self, row: Mapping[str, Any], wanted: int, where: str) -> tuple[float, ...]:
        name = " and ".join(self.columns.labels)
        values = [row.get(column) for column in self.columns.labels]
        given: list[Any] = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
        value = values[0] if len(values) == 1 else values
        if len(given) != wanted:
            raise _bad(where, name, value, expected="a number" if wanted == 1 else f"{wanted} numbers, one a document")
        if self.classes is not None:
            labels = [class_label(self.classes, one) for one in given]
            if None in labels:
                raise _bad(where, name, value, expected="entailment, neutral or contradiction (0, 1, 2)")
            return tuple(label for label in labels if label is not None)
        try:
            numbers = [float(one) for one in given]
        except (TypeError, ValueError):
            raise _bad(where, name, value, expected="a number") from None
        if self.scale is None:
            return tuple(numbers)
        low, high = self.scale
        return tuple((number - low) / (high - low) for number in numbers)


def _texts(row: Mapping[str, Any], name: str, where: str) -> Iterator[str]:
    value = row.get(name)
    for text in value if isinstance(value, list | tuple) else [value]:
        found = _passage(text) if isinstance(text, Mapping) else text
        if not isinstance(found, str):
            raise _bad(where, name, value, expected="a text")
        yield found


def _passage(plain: Mapping[str, Any]) -> str | None:
    """Title and text of a passage that is an object, as Tevatron and DPR write them; None without a text."""
    title, text = plain.get("title"), plain.get("text", plain.get("contents"))
    if not isinstance(text, str):
        return None
    return f"{title}\n{text}" if isinstance(title, str) and title.strip() else text


def _bad(where: str, name: str, value: Any, *, expected: str) -> InvalidInput:
    shown = "is missing" if value is None else f"holds {value!r:.60}"
    return InvalidInput(f"{where}: {name} {shown}", expected=expected, hint="correct the line, or name other columns")


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

    rows: RowTable
    reading: RowReader

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
