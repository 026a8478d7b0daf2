"""Which version and vector space an answer comes from, and callers that demand one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header

from gnomon.collection.catalog.versions import Version
from gnomon.core.space import Space
from gnomon.serve.errors import SpaceDemandFailed

SPACE, VERSION = "x-gnomon-space", "x-gnomon-version"

_DEMANDED = "The fingerprint of the vector space that the answer must come from; 409 where it would not."
DemandedSpace = Annotated[str | None, Header(alias=SPACE, description=_DEMANDED)]
DEMANDED_SPACE: dict[str, Any] = {
    "parameters": [{"name": SPACE, "in": "header", "description": _DEMANDED, "schema": {"type": "string"}}]
}
"""The same for the documentation of a DirectRoute."""

_SPACE = {"description": "The fingerprint of the vector space.", "schema": {"type": "string"}}
MODEL_HEADERS: dict[int | str, dict[str, Any]] = {200: {"headers": {SPACE: _SPACE}}}
ANSWER_HEADERS: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            SPACE: _SPACE,
            VERSION: {"description": "The version that answered.", "schema": {"type": "string"}},
        }
    }
}
"""For the documentation of routes that answer by a model, or by a version of a collection."""


def identity_headers(version: Version) -> dict[str, str]:
    """The headers of an answer from a version."""
    return {SPACE: version.space.fingerprint, VERSION: version.name}


def require_space(space: Space, demanded: str | None, *, of: str) -> None:
    """Raise SpaceDemandFailed where a caller demands another space than that of a version or a model."""
    if demanded is not None and demanded != space.fingerprint:
        raise SpaceDemandFailed(
            f"{of} answers by the space {space.fingerprint} ({space.short})",
            expected=f"the demanded space {demanded[:100]}",
            hint=f"leave the header {SPACE} out, or make new vectors and demand the new space",
        )
