"""What adapting chooses among: other ways to search, given or learnt from judged queries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from gnomon.collection.collection import Collection
from gnomon.core.progress import ProgressCallback

Family = Literal["fusion", "spaces", "feedback", "prefix", "query-adapter", "fine-tuning", "reranker", "provider"]


@dataclass(frozen=True)
class Candidate:
    """One way to search differently from the live version.

    `changes` are search settings in the form of `gnomon migrate --set` (a stage is added by {} and removed by
    None), and maybe "model", a name or folder, where the model itself is another, and "dim".
    """

    name: str
    family: Family
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgedQueries:
    """Queries with judged documents: `texts` and `grades` by query id, in one order.

    `grades` has the grade of each judged document by its id; 0 is judged and not relevant.
    """

    texts: Mapping[str, str]
    grades: Mapping[str, Mapping[str, int]]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the queries."""
        return tuple(self.texts)

    def __len__(self) -> int:
        return len(self.texts)

    def relevant(self, query: str) -> list[str]:
        """The ids of the relevant documents of a query, the best grade first."""
        grades = self.grades[query]
        return sorted((each for each, grade in grades.items() if grade > 0), key=lambda each: (-grades[each], each))

    def take(self, queries: Iterable[str]) -> JudgedQueries:
        """Only some of the queries, in the order given."""
        ids = list(queries)
        return JudgedQueries({each: self.texts[each] for each in ids}, {each: self.grades[each] for each in ids})


class Learner(Protocol):
    """Makes a candidate from judged queries. It is called once a fold, with the queries of the other folds, and once
    with all queries for the version that is offered: it must not look at any other judgment."""

    @property
    def name(self) -> str:
        """For people, such as "query adapter"."""
        ...

    @property
    def family(self) -> Family:
        """What kind of candidate it makes."""
        ...

    def fit(self, kb: Collection, judged: JudgedQueries, folder: Path, *, progress: ProgressCallback) -> Candidate:
        """Learn from `judged`, with files only in `folder` (an empty folder that is kept with the version).

        Raises InvalidInput where there is too little to learn from: the learner is then left out, with the reason.
        """
        ...
