"""The one form of all errors."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    """What was wrong and what to do about it."""

    message: str = Field(description="What was found, in one line.", examples=["no collection 'kbb' is served"])
    type: Literal["invalid_request_error", "server_error"] = Field(description="Whose fault it is.")
    code: str = Field(description="The kind of error, for programs.", examples=["UnknownCollection"])
    param: str | None = Field(description="The field of the request that is wrong, where it is one.")
    expected: str = Field(description="What would have been right; may be empty.")
    hint: str = Field(description="What to do about it; may be empty.")


class ErrorAnswer(BaseModel):
    """The body of every answer that is an error; OpenAI's clients read it too."""

    error: ErrorDetail


_REFUSED = (
    "The request is refused. 400: its form or its values. 401: no key. 403: the key is not for this. 404: not there. "
    "408: too slow. 409: another vector space or state is live. 413: too large. 415: not JSON. 429: too many at once, "
    "see the header retry-after."
)
_FAILED = (
    "The server cannot answer. 500: a defect, in the log under the id of the message. 502: a model's provider. 503: a "
    "collection is busy, damaged or gone. 504: out of time. 507: the disk."
)
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorAnswer, "description": _REFUSED},
    "5XX": {"model": ErrorAnswer, "description": _FAILED},
}
"""What every route may answer besides its result, for the OpenAPI document."""
