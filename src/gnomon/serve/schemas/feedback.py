"""What users did with the results of searches."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gnomon.collection import FeedbackEvent

MOST_EVENTS, MOST_OF_ONE_SEARCH = 1_000, 1_000
"""Events of a request, positions of a list."""


class Feedback(BaseModel):
    """A click on a result, or what a user says of it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(
        pattern=r"^[0-9a-f]{16}(\.[lcb]{1,1000}\.[0-9a-f]{16})?$",
        description="The `id` that the search was answered with.",
        examples=["5d41402abc4b2a76"],
    )
    document: str = Field(min_length=1, max_length=4_096, description="The id of the document.")
    kind: Literal["click", "up", "down"] = Field("click", description="A click, or a thumb up or down.")
    position: int | None = Field(
        None, ge=1, le=MOST_OF_ONE_SEARCH, description="The result's place in the list, from 1."
    )
    session: str = Field(
        "",
        max_length=64,
        description="What the client calls this visit: an opaque text, so that one user's clicks do not count as many.",
    )

    def event(self) -> FeedbackEvent:
        """The event as the log has it; the log sets the time."""
        return FeedbackEvent(self.id, self.document, self.kind, "", self.position, self.session)


class Logged(BaseModel):
    """What became of the events."""

    logged: int = Field(description="How many events were written to the query log.")
