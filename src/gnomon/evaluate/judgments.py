"""Queries and their relevance judgments, with a record of the faults that were found while reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

FaultKind = Literal[
    "duplicate judgments", "conflicting grades", "non-integer grades", "duplicate query ids", "empty ids"
]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a file that a mapping cannot hold. `where` is file:line, `what` the content there."""

    kind: FaultKind
    what: str
    where: str


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
