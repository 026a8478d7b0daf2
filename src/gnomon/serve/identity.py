"""Which version and vector space an answer comes from, and callers that demand one."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header

from gnomon.collection.catalog.versions import Version
from gnomon.serve.errors import SpaceDemandFailed

SPACE, VERSION = "x-gnomon-space", "x-gnomon-version"

DemandedSpace = Annotated[
    str | None,
    Header(
        alias=SPACE,
        description="The fingerprint of the vector space that the answer must come from; 409 where it would not.",
    ),
]

ANSWER_HEADERS: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            SPACE: {"description": "The fingerprint of the vector space.", "schema": {"type": "string"}},
            VERSION: {"description": "The version that answered.", "schema": {"type": "string"}},
        }
    }
}
"""For the documentation of a route."""


def identity_headers(version: Version) -> dict[str, str]:
    """The headers of an answer from a version."""
    return {SPACE: version.space.fingerprint, VERSION: version.name}


def require_space(version: Version, demanded: str | None) -> None:
    """Raise SpaceDemandFailed where a caller demands another space than a version's."""
    space = version.space
    if demanded is not None and demanded != space.fingerprint:
        raise SpaceDemandFailed(
            f"{version.name} answers by the space {space.fingerprint} ({space.short})",
            expected=f"the demanded space {demanded[:100]}",
            hint=f"leave the header {SPACE} out, or make new vectors and demand the new space",
        )
