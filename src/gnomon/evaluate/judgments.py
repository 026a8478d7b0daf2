"""Queries and what is relevant to them, with a record of everything odd that was met while reading."""

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
    """Something in a file that a mapping cannot hold. `where` is file:line, `what` what stands there."""

    kind: FaultKind
    what: str
    where: str


@dataclass(frozen=True)
class DataSet:
    """Queries by id, and each one's judged documents with grades (0: judged and not relevant).

    `queries` holds those of this split, and those that no split judges. `documents` are the corpus's ids
    where a corpus lies beside. `faults` is what was met while reading and is not in the mappings.
    `pseudo` marks judgments that were made, not given; `kinds` then says of each query how.
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
    """One line of judgments as it stands: the grade is still text."""

    query: str
    document: str
    grade: str
    where: str


def gather(rows: Iterable[Judgment]) -> tuple[dict[str, dict[str, int]], tuple[Fault, ...]]:
    """Grades by query and document, and what could not go in.

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
