"""What a monitoring run does, and on how large samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gnomon.core.errors import InvalidInput
from gnomon.core.renamed import renamed_fields
from gnomon.evaluate.judgments import DataSet

MIN_DRIFT_SAMPLE = 50
"""Queries, and documents, on each side of a test: fewer show only gross changes."""
MIN_GOLDEN_QUERIES = 20
MIN_RECALL_QUERIES = 20


@renamed_fields(asked="recall_queries", checked="checked_vectors", timed="timed_searches")
@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """How a collection is monitored. Of more texts than a number says, random ones are taken.

    `queries` are recent queries of users. None: those whose vectors are in the collection's embedding cache.
    `golden` are judged queries, searched in each run and measured by `metric`; None: those of the baseline, or
    queries made from the corpus. At most `sample` queries and as many documents are compared with the
    baseline's, `checked_vectors` stored vectors are encoded again, `recall_queries` queries are searched in the
    index and exactly, `timed_searches` searches are timed. All tests of a run together raise a false alarm in at
    most `false_alarms` of the runs. `rollback_on="golden"`: roll back to the former version when the golden
    queries fall below their limit. `seed` None: other random samples in each run.
    """

    queries: Sequence[str] | None = None
    golden: DataSet | None = None
    metric: str = "nDCG@10"
    set_baseline: bool = False
    rollback_on: Literal["golden"] | None = None
    sample: int = 1000
    checked_vectors: int = 200
    recall_queries: int = 100
    timed_searches: int = 30
    permutations: int = 999
    false_alarms: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.queries, str):
            raise InvalidInput("queries that are one string", expected="a sequence of texts")
        if self.rollback_on not in (None, "golden"):
            raise InvalidInput(f"rollback_on {self.rollback_on!r}", expected="'golden', or None for never")
        if not 0 < self.false_alarms < 1:
            raise InvalidInput(f"false_alarms {self.false_alarms}", expected="a share between 0 and 1")
        if self.sample < MIN_DRIFT_SAMPLE:
            raise InvalidInput(
                f"samples of {self.sample}", expected=f"at least {MIN_DRIFT_SAMPLE}: fewer show only gross changes"
            )
        if self.recall_queries < MIN_RECALL_QUERIES:
            raise InvalidInput(
                f"recall_queries {self.recall_queries}", expected=f"at least {MIN_RECALL_QUERIES} queries"
            )
        if min(self.checked_vectors, self.timed_searches) < 1:
            raise InvalidInput("checked_vectors or timed_searches below 1", expected="at least 1 of each")
        # Below that, no p-value can get through the correction for several tests.
        least = round(10 / self.false_alarms)
        if self.permutations < least:
            raise InvalidInput(f"{self.permutations} permutations", expected=f"at least {least} for these false alarms")
