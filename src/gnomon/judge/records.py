"""What judging asks, keeps and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.evaluate.metrics import parse_metric

Outcome = Literal["better", "worse", "no difference", "undecided"]
METRICS = ("DCG", "precision")
"""The metrics whose difference is linear in the grades, so that a sample of passages estimates it without bias."""


@dataclass(frozen=True)
class JudgingSettings:
    """How candidates are compared.

    `metric` is DCG@k (gain grade / highest grade, discount 1 / log2(rank + 1)) or precision@k. `grades` is the highest
    grade: 1 (relevant or not) or more. `margin` is the difference of the mean per query below which two candidates
    count as alike, `alpha` the error rate of all verdicts together, however often they are looked at. `repeats` is the
    share of tasks that show again what was judged before, to measure how far annotators agree with themselves and with
    each other. `seed` makes the draws repeatable. Raises InvalidInput for values out of range.
    """

    metric: str = "DCG@10"
    grades: int = 2
    margin: float = 0.01
    alpha: float = 0.05
    repeats: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in METRICS:
            raise InvalidInput(f"judging for {self.metric}", expected="DCG@k or precision@k, such as DCG@10")
        if not 1 <= self.grades <= 9:
            raise InvalidInput(f"a highest grade of {self.grades}", expected="1 to 9: a grade is one key")
        if not (0 < self.margin < 1 and 0.001 <= self.alpha <= 0.2 and 0 <= self.repeats <= 0.5):
            raise InvalidInput(
                f"margin {self.margin:g}, alpha {self.alpha:g}, repeats {self.repeats:g}",
                expected="a margin above 0 and below 1, alpha from 0.001 to 0.2, repeats from 0 to 0.5",
            )

    @property
    def kind(self) -> str:
        """DCG or precision; as written where it is another."""
        name = self.metric.partition("@")[0]
        return next((kind for kind in METRICS if kind.lower() == name.strip().lower()), name)

    @property
    def depth(self) -> int:
        """How many documents of a ranking count."""
        return parse_metric(f"precision@{self.metric.partition('@')[2]}").cutoff or 10


@dataclass(frozen=True)
class JudgingTask:
    """A passage to judge for a query: `text` is the passage of `document` that fits the query best.

    `id` names the task; `highlights` are (start, end) spans of `text` that match the query's words. `judged` of `pool`
    passages have a grade; about `needed` more judgments are needed for the verdict (None: not known yet). `is_repeat`:
    this passage was judged before, which annotators should not be shown. `grades` is the highest grade.
    """

    id: str
    query_id: str
    query: str
    document: str
    text: str
    title: str = ""
    source: str = ""
    highlights: tuple[tuple[int, int], ...] = ()
    judged: int = 0
    pool: int = 0
    needed: int | None = None
    grades: int = 2
    is_repeat: bool = False

    def to_json(self) -> dict[str, Any]:
        """A plain mapping without `is_repeat`."""
        plain: dict[str, Any] = to_plain(self)
        del plain["is_repeat"]
        return plain


@dataclass(frozen=True)
class JudgedPassage:
    """A judgment that counts. `grade` is None for a passage that was skipped.

    `probability` is the one with which the passage was drawn among those left, given all that was judged before it;
    `weights` is what a grade of the highest adds to each candidate's difference from the baseline (the mean over
    queries), by candidate. `at` is the time (ISO 8601, UTC).
    """

    query_id: str
    document: str
    grade: int | None
    annotator: str
    probability: float
    at: str
    weights: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class PairVerdict:
    """A candidate against the baseline: the difference (candidate minus baseline) of the metric's mean per query.

    `difference` is the estimate by inverse propensity and `interval` a confidence sequence at 1 - alpha / (number of
    candidates): it holds at all times together, so it may be looked at after every judgment. Both are about these
    queries, as if every passage had been judged. `needed` is about how many more judgments a verdict takes, None where
    nothing is known yet, 0 where it is reached. Where a language model was asked, `interval` uses its grades, corrected
    by the people's, and `people_interval` is that of the same judgments without it.
    """

    baseline: str
    candidate: str
    outcome: Outcome
    difference: float
    interval: tuple[float, float]
    needed: int | None = None
    people_interval: tuple[float, float] | None = None

    def explain(self) -> str:
        """The verdict in one sentence."""
        low, high = self.interval
        seen = f"{self.difference:+.3f}, interval {low:+.3f} to {high:+.3f}"
        if self.people_interval is not None:
            alone = (self.people_interval[1] - self.people_interval[0]) / 2
            seen += f"; people alone ±{alone:.3f}, with the judge ±{(high - low) / 2:.3f}"
        if self.outcome == "undecided":
            more = "" if self.needed is None else f"; it needs about {self.needed:,} more judgments"
            return f"{self.candidate} against {self.baseline} is undecided ({seen}){more}."
        if self.outcome == "no difference":
            return f"{self.candidate} and {self.baseline} do not differ by more than the margin ({seen})."
        return f"{self.candidate} is {self.outcome} than {self.baseline} ({seen})."


@dataclass(frozen=True)
class JudgingReport:
    """Where a session of judging stands.

    `judged` passages of `pool` have a grade, `relevant` of them 1 or more; `skipped` count as not relevant. `agreement`
    has a row for each measure of how judgments of the same passage agree. `notes` say what readers should know, such
    as documents deleted since. `needed` is about how many more judgments the verdicts take (0: none). `model` is
    the language model whose grades predict what is not judged.
    """

    metric: str
    baseline: str
    verdicts: tuple[PairVerdict, ...]
    queries: int
    pool: int
    judged: int
    relevant: int
    skipped: int = 0
    needed: int | None = None
    model: str | None = None
    annotators: Mapping[str, int] = field(default_factory=dict)
    agreement: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_decided(self) -> bool:
        """Whether every candidate has a verdict."""
        return all(verdict.outcome != "undecided" for verdict in self.verdicts)

    def explain(self) -> str:
        """The verdicts and notes in one paragraph."""
        return " ".join([*(verdict.explain() for verdict in self.verdicts), *self.notes])

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**to_plain(self), "decided": self.is_decided, "explained": self.explain()}
