"""A collection's state and its versions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class DerivedIndex(BaseModel):
    """An index that was made from the catalog."""

    name: str = Field(examples=["dense"])
    kind: str = Field(examples=["exact"])
    rows: int
    bytes: int = Field(description="Its size on disk.")
    state: str = Field(description="current, behind or missing.")


class CollectionStatus(BaseModel):
    """What is in a collection and how it is made."""

    model: str
    space: dict[str, Any] = Field(description="The vector space, with its fingerprint.")
    version: str = Field(examples=["v1"])
    chunking: dict[str, Any]
    retrieval: dict[str, Any]
    sources: int = Field(description="Files that documents came from.")
    documents: int
    documents_without_passages: int = Field(description="Documents that no search finds.")
    chunks: int
    tokens: int
    vectors: int = Field(description="Vectors in the cache.")
    position: int = Field(description="The last entry of the journal.")
    catalog_bytes: int
    languages: dict[str, int] = Field(description="Passages by language.")
    derived: list[DerivedIndex]
    fields: list[dict[str, Any]] = Field(description="The metadata's fields with their types.")
    spent: list[dict[str, Any]] = Field(description="What servers of models charged.")
    spaces: list[dict[str, Any]] = Field(description="Further models, with the vectors of each.")


class VersionEntry(BaseModel):
    """A version: the documents with one model, one way to cut them and one way to search."""

    id: int
    name: str = Field(examples=["v2"])
    state: Literal["building", "ready", "live", "retired"]
    model: str
    space: str
    fingerprint: str = Field(description="The fingerprint of the vector space.")
    chunking: dict[str, Any]
    retrieval: dict[str, Any]
    created: str
    upto: int
    behind: int = Field(description="Documents that it lacks.")
    live_since: str | None


class InterleavingState(BaseModel):
    """Two versions whose results are shown in one list, and what the clicks said so far."""

    live: str = Field(examples=["v1"])
    candidate: str = Field(examples=["v2"])
    settings: dict[str, Any] = Field(description="share of the searches, alpha, most_searches, settle_s.")
    started: str
    ended: str = Field(description='"" while it goes on.')
    outcome: str = Field(description='better, worse, undecided, stopped or abandoned; "" while it goes on.')
    wins: int = Field(description="Searches with more clicks on results of the candidate.")
    losses: int
    ties: int
    p_value: float = Field(description="Valid however often it is looked at.")
    interval: tuple[float, float] = Field(description="Of the candidate's share of wins and losses.")
    explained: str


class VersionList(BaseModel):
    """All versions, oldest first."""

    versions: list[VersionEntry]
    interleaving: InterleavingState | None = Field(
        None, description="The interleaving that goes on, or the last one; null before the first."
    )


class ChosenVersion(BaseModel):
    """The version that is meant."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(examples=["v2"])


class Switched(BaseModel):
    """A switch of versions."""

    came_from: str
    to: str
    seconds: float = Field(description="The time of the transaction: searches go on meanwhile.")
    why: str


class TableColumn(BaseModel):
    """A column and what it holds."""

    name: str
    kind: Literal["integer", "real", "text", "date", "truth"]


class TableEntry(BaseModel):
    """A table that is registered with a collection."""

    name: str
    kind: Literal["csv", "parquet", "sqlite"]
    columns: list[TableColumn]
    rows: int
    added: str
    here: bool = Field(description="Whether its file is there.")


class TableList(BaseModel):
    """All tables, by name."""

    tables: list[TableEntry]
