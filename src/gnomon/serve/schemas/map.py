"""The map of a collection."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from gnomon.serve.schemas.search import QueryText

MOST_TEXTS, MOST_NEIGHBOURS = 500, 200
"""Chunks whose texts are read at once, and neighbours of a query."""

Projection = Literal["pca", "umap"]
Position = Annotated[list[float], Field(min_length=2, max_length=2, description="x and y.")]


class MapProjection(BaseModel):
    """How a projection stands."""

    name: Projection
    state: Literal["ready", "computing", "missing", "unavailable", "failed"] = Field(
        description="`missing`: it is fitted when POST map/umap asks for it."
    )
    placed: int = Field(description="Passages that came after it was fitted, and were placed beside the others.")
    is_updating: bool = Field(description="Whether it is being fitted anew.")
    reason: str = Field(description="Why it is unavailable, or failed.")


class MapCluster(BaseModel):
    """A cluster of passages."""

    cluster: int = Field(description="Its number, as in the column `clusters` of the points.")
    size: int = Field(description="How many passages it has.")
    words: list[str] = Field(description="The words that tell it from the others, best first.")


class MapField(BaseModel):
    """A field that points can be coloured by."""

    name: str
    type: Literal["text", "number", "boolean", "date"]


class MapAnswer(BaseModel):
    """What there is to draw."""

    version: str
    space: str
    seq: int = Field(description="The journal position; points and colours that belong together have the same.")
    points: int
    variance: float = Field(description="The share of the variance that the two principal components hold.")
    projections: list[MapProjection]
    clusters: list[MapCluster] = Field(description="The largest first.")
    fields: list[MapField]


class MapText(BaseModel):
    """What is shown of a passage."""

    id: int
    document: str
    title: str
    snippet: str = Field(description="Its first words.")
    start: int = Field(description="Where it begins in the document's text, in characters.")
    end: int


class MapTexts(BaseModel):
    """Passages in the order in which they were asked for; those that are gone are left out."""

    texts: list[MapText]


class MapQuery(BaseModel):
    """A query to be placed on the map."""

    model_config = ConfigDict(extra="forbid")

    query: QueryText = Field(description="A question, or words.", examples=["how do I rotate the keys?"])
    projection: Projection = "pca"
    k: int = Field(10, ge=1, le=MOST_NEIGHBOURS, description="How many of its nearest passages.")


class MapNeighbour(MapText):
    """A passage near a query."""

    score: float = Field(description="Its similarity.")
    position: Position


class PlacedQueryAnswer(BaseModel):
    """A query on the map: exactly in the principal components, at the mean of its neighbours in UMAP."""

    version: str
    position: Position
    neighbours: list[MapNeighbour] = Field(description="By similarity alone, the nearest first.")


class UmapStart(BaseModel):
    """Whether a process that fits UMAP was started."""

    started: bool = Field(description="False where it is ready, being fitted, or cannot be.")
