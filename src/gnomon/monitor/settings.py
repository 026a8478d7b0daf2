"""What a look does, and how much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet

LEAST = 50
"""Queries, and documents, on each side of a test: fewer show nothing but the grossest change."""
LEAST_GOLDEN = 20
LEAST_ASKED = 20
"""Queries that recall is measured with."""


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """How a collection is looked at. Texts beyond a number are drawn at random.

    `queries` are recent ones as people asked them. None: those are taken whose vectors lie in the
    collection's embedding cache. `golden` are judged queries, asked at each look, measured by `metric`; None:
    those of the baseline, or queries made from the corpus. At most `sample` queries and as many documents are
    compared with the baseline's, `checked` stored vectors are made again, `asked` queries are put to the
    index and to an exact search, `timed` searches are timed. All tests of one look together raise a false
    alarm in at most `false_alarms` of the looks. `rollback_on="golden"`: go back to the former version when
    the golden queries fall out of their limits. `seed` None: another draw each time.
    """

    queries: Sequence[str] | None = None
    golden: DataSet | None = None
    metric: str = "nDCG@10"
    set_baseline: bool = False
    rollback_on: Literal["golden"] | None = None
    sample: int = 1000
    checked: int = 200
    asked: int = 100
    timed: int = 30
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
        if self.sample < LEAST:
            raise InvalidInput(
                f"samples of {self.sample}", expected=f"at least {LEAST}: fewer show nothing but gross changes"
            )
        if self.asked < LEAST_ASKED:
            raise InvalidInput(f"asked {self.asked}", expected=f"at least {LEAST_ASKED} queries")
        if min(self.checked, self.timed) < 1:
            raise InvalidInput("checked or timed below 1", expected="at least 1 of each")
        # Below that, no p-value can get through the correction for several tests.
        least = round(10 / self.false_alarms)
        if self.permutations < least:
            raise InvalidInput(f"{self.permutations} permutations", expected=f"at least {least} for these false alarms")
