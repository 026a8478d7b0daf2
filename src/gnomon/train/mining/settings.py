"""What may be asked of mining, and what it reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from gnomon.core.errors import InvalidInput
from gnomon.train.mining.false_negatives import Rates

Method = Literal["bm25", "dense", "both"]


@dataclass(frozen=True)
class MineSettings:
    """`ranks` is the window, from 1, known right answers not counted; `per_query` how many are taken of it.

    A negative must score at most the positive's score minus `margin`, and at most `share` of it; scores are
    the encoder's where there is one, else BM25's. With a scorer it must besides score `scorer_margin` below
    the positive there. `choice`: the first of the window, or any. `language` is that of the words. `probes`
    is how many examples with several positives are used to estimate the false-negative rate.
    """

    method: Method = "bm25"
    per_query: int = 5
    ranks: tuple[int, int] = (10, 100)
    margin: float | None = None
    share: float | None = None
    scorer_margin: float = 0.0
    choice: Literal["first", "random"] = "first"
    language: str = "en"
    seed: int = 0
    probes: int = 2000

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise InvalidInput(f"method {self.method!r}", expected=f"one of {', '.join(get_args(Method))}")
        if self.choice not in ("first", "random"):
            raise InvalidInput(f"choice {self.choice!r}", expected="first or random")
        first, last = self.ranks
        if not 1 <= first <= last:
            raise InvalidInput(f"ranks {first} to {last}", expected="ranks from 1, the lower first")
        if not 1 <= self.per_query <= last - first + 1:
            raise InvalidInput(
                f"{self.per_query} negatives of ranks {first} to {last}",
                expected=f"1 to {last - first + 1}, as many as the window has",
                hint="widen the window, or take fewer",
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise InvalidInput(f"share {self.share}", expected="above 0 to 1, such as 0.95")
        if self.margin is not None and not 0 <= self.margin < float("inf"):
            raise InvalidInput(f"margin {self.margin}", expected="0 or more")

    def limit(self, reference: float) -> float:
        """The highest score that a negative may have, where the positive has this one."""
        limit = float("inf")
        if self.margin is not None:
            limit = reference - self.margin
        if self.share is not None:
            # A share of a score below 0 would be above it.
            limit = min(limit, reference * self.share if reference > 0 else reference / self.share)
        return limit


@dataclass(frozen=True)
class MineReport:
    """What was mined. `short` examples have fewer negatives than asked for, `without` of them none.

    `dropped` counts candidates that a filter took out, by filter. `rates` says how many false negatives
    are to be expected.
    """

    settings: MineSettings
    examples: int
    texts: int
    negatives: int
    short: int
    without: int
    dropped: dict[str, int]
    rates: Rates

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self) | {"rates": self.rates.to_json()}
