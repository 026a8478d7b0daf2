"""What monitoring a collection found."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class MonitorRun(BaseModel):
    """A summary of one run; what was not measured is null."""

    at: str
    version: str | None = None
    baseline: str | None = Field(None, description="The id of the baseline; another one after it was taken anew.")
    states: dict[str, str] | None = Field(None, description="The state of each check.")
    p: dict[str, float] | None = Field(None, description="The p-value of each test.")
    golden: dict[str, float] | None = Field(
        None, description="Golden queries: mean, base, n, fall, and sum, the falls added up (CUSUM)."
    )
    latency: dict[str, float] | None = Field(None, description="p50 and p95 of a search in milliseconds.")
    recall: float | None = Field(None, description="Of the index, against exact search.")
    bad_vectors: float | None = Field(None, description="The share of stored vectors that are wrong.")
    causes: list[str] = Field([], description="The causes of its alarms.")
    rolled_back: dict[str, Any] | None = None


class CollectionHealth(BaseModel):
    """The last report of `gnomon monitor` and how its figures went over time."""

    report: dict[str, Any] | None = Field(
        description="The last report: checks with their states, alarms with their causes; null before the first run."
    )
    history: list[MonitorRun] = Field(description="Runs, oldest first.")
    golden_limit: float | None = Field(
        description="The sum of falls that a sound collection reaches in as few of its runs as may raise a false alarm."
    )


class MonitorRequest(BaseModel):
    """How to monitor now."""

    model_config = ConfigDict(extra="forbid")

    set_baseline: bool = Field(False, description="All is well now: compare later runs with this one.")
    sample: int = Field(1000, ge=50, le=10_000, description="Queries, and documents, that are compared at most.")


class LoggedQueries(BaseModel):
    """The newest queries of the query log, oldest first."""

    logging: bool = Field(description="Whether queries are logged now: gnomon serve --query-log.")
    queries: list[dict[str, Any]] = Field(description="Text, time, version, mode, condition and ids that were shown.")
