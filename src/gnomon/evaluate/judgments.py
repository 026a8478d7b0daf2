"""Queries and their relevance judgments, with a record of the faults that were found while reading."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain

FaultKind = Literal[
    "duplicate judgments", "conflicting grades", "non-integer grades", "duplicate query ids", "empty ids"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a file that a mapping cannot hold. `where` is file:line, `what` the content there."""

    kind: FaultKind
    what: str
    where: str


def repeated_query(query: str, first: str, second: str, *, where: str) -> Fault:
    """The fault of a query id that comes twice, the first text kept."""
    texts = "the same text" if first == second else "another text"
    return Fault("duplicate query ids", f"query {query!r} again, with {texts}", where)


@dataclass(frozen=True)
class DataSet:
    """Queries by id, and each one's judged documents with grades (0: judged and not relevant).

    `queries` holds those of this split, and those that no split judges. `documents` are the corpus's ids
    where a corpus lies beside. `faults` were found while reading and are not in the mappings.
    `pseudo` marks generated judgments; `kinds` then has the kind of each query.
    """

    name: str
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    split: str = ""
    path: Path | None = None
    documents: frozenset[str] | None = None
    faults: tuple[Fault, ...] = ()
    pseudo: bool = False
    kinds: Mapping[str, str] = field(default_factory=dict)

    @property
    def judged(self) -> dict[str, str]:
        """The queries that can be measured: those with a text and a judgment, in the order of the file."""
        return {query: text for query, text in self.queries.items() if text.strip() and self.relevant.get(query)}


@dataclass(frozen=True, slots=True)
class Judgment:
    """One line of judgments, its grade still as text."""

    query: str
    document: str
    grade: str
    where: str


def collect_judgments(rows: Iterable[Judgment]) -> tuple[dict[str, dict[str, int]], tuple[Fault, ...]]:
    """Grades by query and document, and the faults of what was left out.

    Of a pair that is judged twice the first grade stays. A grade that is no whole number is left out.
    """
    relevant: dict[str, dict[str, int]] = {}
    faults: list[Fault] = []
    for row in rows:
        pair = f"query {row.query!r}, document {row.document!r}"
        grade = _whole(row.grade)
        if not row.query or not row.document:
            faults.append(Fault("empty ids", pair, row.where))
        elif grade is None:
            faults.append(Fault("non-integer grades", f"{pair}: {row.grade!r}", row.where))
        elif row.document not in (grades := relevant.setdefault(row.query, {})):
            grades[row.document] = grade
        elif grades[row.document] == grade:
            faults.append(Fault("duplicate judgments", pair, row.where))
        else:
            conflict = f"{pair}: {grades[row.document]}, then {grade}"
            faults.append(Fault("conflicting grades", conflict, row.where))
    return {query: grades for query, grades in relevant.items() if grades}, tuple(faults)


def _whole(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


Severity = Literal["error", "warning"]
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class DataSetIssue:
    """One kind of fault in a data set: how often it occurs, and a few examples.

    An "error" makes metrics wrong; a "warning" makes them rest on fewer queries than it seems.
    """

    kind: str
    count: int
    examples: tuple[str, ...]
    severity: Severity

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        return f"{self.severity}: {self.count} {self.kind}: {', '.join(self.examples)}{more}"

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        plain: dict[str, Any] = to_plain(self)
        return plain


def check_dataset(dataset: DataSet, *, corpus: AbstractSet[str] | None = None) -> tuple[DataSetIssue, ...]:
    """A data set's issues, errors first. `corpus` holds the ids of the documents that can be found.

    Without it the ids of the set's own corpus are taken; where there is none either, judged documents that are
    missing cannot be detected.
    """
    known = dataset.documents if corpus is None else corpus
    kinds: dict[tuple[Severity, str], list[str]] = defaultdict(list)
    for severity, kind, example in _all_issues(dataset, known):
        kinds[severity, kind].append(example)
    issues = [
        DataSetIssue(kind, len(examples), tuple(examples[:_SHOWN]), severity)
        for (severity, kind), examples in kinds.items()
    ]
    return tuple(sorted(issues, key=lambda issue: issue.severity != "error"))


def require_clean(issues: Sequence[DataSetIssue], *, name: str = "the data set") -> None:
    """Raise InvalidInput where there is any issue, a warning too: what `--strict` means."""
    if issues:
        raise InvalidInput(
            f"{name} has faults:\n" + "\n".join(f"  {issue}" for issue in issues),
            expected="a data set without faults, since --strict was asked for",
            hint="correct the files, or leave --strict out to measure with what is there",
        )


Issues = Iterator[tuple[Severity, str, str]]


def _all_issues(dataset: DataSet, known: AbstractSet[str] | None) -> Issues:
    yield from _queries(dataset)
    yield from _judgments(dataset, known)
    for fault in dataset.faults:
        mild = fault.kind == "duplicate judgments"
        yield "warning" if mild else "error", fault.kind, f"{fault.what} ({fault.where})"


def _queries(dataset: DataSet) -> Issues:
    by_text: dict[str, list[str]] = defaultdict(list)
    for query, text in dataset.queries.items():
        plain = " ".join(text.split()).casefold()
        if plain:
            by_text[plain].append(query)
        else:
            yield "error", "empty queries", repr(query)
        if query not in dataset.relevant:
            yield "warning", "queries without judgments", repr(query)
    for same in by_text.values():
        if len(same) > 1:
            yield "warning", "queries with the same text", " = ".join(map(repr, same))


def _judgments(dataset: DataSet, known: AbstractSet[str] | None) -> Issues:
    for query, grades in dataset.relevant.items():
        if query not in dataset.queries:
            yield "error", "judged queries that are not there", repr(query)
        if max(grades.values(), default=0) <= 0:
            yield "warning", "queries with nothing relevant", repr(query)
        for document in grades:
            if known is not None and document not in known:
                yield "error", "judged documents that are not there", f"{document!r} (query {query!r})"
