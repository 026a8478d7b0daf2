"""Collections and what is in them."""

from __future__ import annotations

from pydantic import BaseModel, Field


class CollectionSummary(BaseModel):
    """One collection that is served."""

    name: str = Field(description="The name in addresses.", examples=["kb"])
    documents: int = Field(description="How many documents it holds.")
    version: str = Field(description="The version that answers.", examples=["v1"])
    model: str = Field(description="The embedding model of that version.")
    space: str = Field(description="The fingerprint of its vector space.")


class CollectionList(BaseModel):
    """All collections that are served."""

    collections: list[CollectionSummary]
