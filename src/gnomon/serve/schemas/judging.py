"""Judging over HTTP: passages to grade, and what the grades show."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gnomon.judge import JudgingSettings
from gnomon.serve.schemas.search import QueryText

MOST_JUDGED_QUERIES = 2_000
SessionName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$", description="The session's name.", examples=["judged"])
]
AnnotatorName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"\S",
        description="Who judges. Where API keys are in force it is the key's name, whatever is given.",
    ),
]


class JudgingRequest(BaseModel):
    """A session of judging to begin, or to go on with."""

    model_config = ConfigDict(extra="forbid")

    queries: Annotated[list[QueryText], Field(min_length=1, max_length=MOST_JUDGED_QUERIES)] = Field(
        description="What users ask.", examples=[["how do I rotate the keys?"]]
    )
    session: SessionName = "judged"
    annotator: AnnotatorName = "annotator"
    metric: str | None = Field(
        None, max_length=100, description="DCG@k or precision@k; DCG@10 unless given.", examples=["precision@10"]
    )
    grades: int | None = Field(None, ge=1, le=9, description="The highest grade: 1 is relevant or not.")
    margin: float | None = Field(None, gt=0, lt=1, description="A difference below which two searches are alike.")

    def settings(self, *, is_new: bool) -> JudgingSettings | None:
        """The settings as the library has them; None where a session is there and none were given."""
        given = {name: getattr(self, name) for name in ("metric", "grades", "margin")}
        chosen = {name: value for name, value in given.items() if value is not None}
        return JudgingSettings(**chosen) if is_new or chosen else None


class PassageToJudge(BaseModel):
    """A passage and the query that it is to be judged for."""

    id: str = Field(description="What POST judging/answers names it by.")
    query_id: str
    query: str
    document: str
    text: str
    title: str
    source: str
    highlights: list[tuple[int, int]] = Field(description="Spans of the text that match the query's words.")
    judged: int = Field(description="Passages with a grade.")
    pool: int = Field(description="Passages that there are to judge.")
    needed: int | None = Field(description="About how many more judgments the verdict takes; null: not known yet.")
    grades: int = Field(description="The highest grade.")


class SystemVerdict(BaseModel):
    """A candidate against the baseline: the difference of the metric's mean per query."""

    baseline: str
    candidate: str
    outcome: str = Field(description="better, worse, no difference or undecided.")
    difference: float
    interval: tuple[float, float]
    needed: int | None
    people_interval: tuple[float, float] | None = Field(
        description="The interval of the same judgments without the language model's grades, where one was asked."
    )


class JudgingSummary(BaseModel):
    """Where a session of judging stands."""

    metric: str
    baseline: str
    verdicts: list[SystemVerdict]
    queries: int
    pool: int
    judged: int
    relevant: int
    skipped: int
    needed: int | None
    model: str | None = Field(description="The language model whose grades predict what is not judged.")
    annotators: dict[str, int] = Field(description="Judgments that count, by annotator.")
    agreement: list[dict[str, Any]]
    notes: list[str]
    decided: bool = Field(description="Whether every candidate has a verdict.")
    explained: str


class JudgingState(BaseModel):
    """A session of judging as one annotator sees it."""

    session: str
    annotator: str
    task: PassageToJudge | None = Field(description="null where the verdict is reached or all is judged.")
    report: JudgingSummary


class JudgedAnswer(BaseModel):
    """The grade of the passage at hand."""

    model_config = ConfigDict(extra="forbid")

    task: str = Field(max_length=200, description="The `id` of the task.")
    grade: int | None = Field(
        ge=0, le=9, description="0: not relevant, to the highest grade; null: it cannot be told.", examples=[1]
    )
    session: SessionName = "judged"
    annotator: AnnotatorName = "annotator"


class JudgingUndo(BaseModel):
    """Whose last judgment is to be taken back."""

    model_config = ConfigDict(extra="forbid")

    session: SessionName = "judged"
    annotator: AnnotatorName = "annotator"
