"""Questions, and their answers with citations."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gnomon.answer.types import Answer
from gnomon.serve.schemas.search import Mode, QueryText, Where


class ConversationTurn(BaseModel):
    """A question of the conversation so far, and its answer."""

    question: QueryText
    answer: str = Field(max_length=32_768)


class AnswerRequest(BaseModel):
    """A question, and how it is answered. What is left out is the measured default."""

    model_config = ConfigDict(extra="forbid")

    question: QueryText = Field(examples=["how do I rotate the keys?"])
    stream: bool = Field(False, description="Answer as server-sent events, as the answer is made.")
    history: list[ConversationTurn] = Field(default_factory=list, max_length=50)
    generate: bool = Field(
        True, description="Let the server's language model write the answer, where it has one; else it is quoted."
    )
    version: str | None = Field(None, description="Answer from this version instead of the live one.", max_length=100)
    mode: Mode | None = None
    where: Where = None
    passages: int | None = Field(None, ge=1, le=50, description="At most so many passages.")
    budget_tokens: int | None = Field(None, ge=1, le=100_000, description="At most so many tokens of passages.")
    sentences: int | None = Field(None, ge=1, le=20, description="At most so many sentences, where they are quoted.")
    unsupported: Literal["mark", "drop"] = Field(
        "mark", description="What becomes of sentences that no passage supports."
    )
    expand: Literal["none", "hyde", "multi"] = Field(
        "none", description="Search too with a passage, or with questions, that the language model writes."
    )
    tables: bool = Field(True, description="Whether registered tables are searched too.")
    abstain_below: float | None = Field(
        None, ge=0, le=1, description="Below this confidence there is no answer; 0 always tries."
    )
    answer_from: float | None = Field(
        None, ge=0, le=1, description='Below this confidence a quoted answer is only "possible".'
    )
    min_support: float | None = Field(None, ge=0, le=1, description="What a citation must reach.")
    max_tokens: int = Field(512, ge=1, le=8192, description="The longest answer that the language model may write.")


class AnswerResponse(BaseModel):
    """An answer, and the version that it comes from."""

    version: str = Field(description="The version that answered.", examples=["v1"])
    space: str = Field(description="The fingerprint of its vector space.")
    answer: Answer
