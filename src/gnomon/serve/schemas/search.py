"""Searches of a collection, and what they find."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LONGEST_QUERY, MOST_QUERIES, MOST_HITS, LONGEST_CONDITION = 32_768, 64, 1_000, 8_192
"""Characters of a query, queries of a request, hits of a query, characters of a condition."""

Mode = Literal["hybrid", "dense", "lexical", "sparse"]
QueryText = Annotated[str, Field(min_length=1, max_length=LONGEST_QUERY)]
Where = Annotated[
    Annotated[str, Field(max_length=LONGEST_CONDITION)] | dict[str, Any] | None,
    Field(
        description="Only documents that meet a condition, as a text or as a mapping.",
        examples=["year >= 2020 and lang in ('en', 'de')", {"year": {">=": 2020}}],
    ),
]


class SearchRequest(BaseModel):
    """What to look for, and how."""

    model_config = ConfigDict(extra="forbid")

    query: QueryText | Annotated[list[QueryText], Field(min_length=1, max_length=MOST_QUERIES)] = Field(
        description="A question, or words; or several, each with hits of its own.",
        examples=["how do I rotate the keys?"],
    )
    k: int = Field(10, ge=1, le=MOST_HITS, description="How many hits a query.")
    mode: Mode | None = Field(None, description="By meaning, by word, or both; by default as the collection is set.")
    by: Literal["chunk", "document"] = Field("chunk", description="Rank passages, or documents by their best one.")
    where: Where = None
    collapse: bool = Field(True, description="Show equal passages once, with the documents of the others in `copies`.")
    explain: bool = Field(False, description="Give each hit `stages` and `shares`.")
    version: str | None = Field(
        None, description="Search this version instead of the live one.", examples=["v2"], max_length=100
    )


class HitLocation(BaseModel):
    """Where a text stands in its file, from 1, both ends included."""

    unit: str = Field(examples=["line"])
    first: int
    last: int


class SearchHit(BaseModel):
    """A passage, and where it stands."""

    document: str = Field(description="The document's id.")
    chunk: int = Field(description="The passage's id.")
    score: float
    title: str
    heading: list[str] = Field(description="The headings above it, the outermost first.")
    source: str = Field(description="The file or address that the document was read from.")
    text: str
    start: int = Field(description="Where the text begins in the document's text, in characters.")
    end: int
    snippet: str = Field(description="The stretch of the text that shows most of the query's words.")
    highlights: list[tuple[int, int]] = Field(description="Spans of the snippet that match the query's words.")
    metadata: dict[str, Any]
    more: int = Field(description="How many further passages of the document were found.")
    copies: list[str] = Field(description="Other documents that hold this very passage.")
    location: HitLocation | None = Field(description="Where the text stands in its file.")
    stages: dict[str, float] | None = Field(None, description="Each stage's own score; with `explain`.")
    shares: dict[str, float] | None = Field(
        None,
        description="What each stage adds to the score, which is their sum; empty where the score is no such sum. "
        "With `explain`.",
    )


class SearchResult(BaseModel):
    """The hits of a query."""

    query: str
    hits: list[SearchHit]
    id: str | None = Field(
        None, description="What `POST …/feedback` names this search by; null where no query log is kept."
    )


class _Searched(BaseModel):
    version: str = Field(description="The version that answered.", examples=["v1"])
    space: str = Field(description="The fingerprint of its vector space.")
    seconds: float = Field(description="From the request's arrival to its hits.")


class SearchAnswer(SearchResult, _Searched):
    """The hits of a request's only query."""


class SearchAnswers(_Searched):
    """The hits of each query of a request."""

    results: list[SearchResult]


class FieldValue(BaseModel):
    """A value of a field, and how many documents have it."""

    value: str | float | bool
    documents: int


class FieldSummary(BaseModel):
    """A field of the documents' metadata, for filters."""

    name: str
    type: Literal["text", "number", "boolean", "date"]
    documents: int = Field(description="How many documents have it.")
    distinct: int = Field(description="How many different values it has.")
    lowest: str | float | None = Field(description="The least value of a number or a date.")
    highest: str | float | None
    values: list[FieldValue] = Field(description="The most frequent values.")


class FieldList(BaseModel):
    """All fields of a collection's metadata, in order of name."""

    fields: list[FieldSummary]
