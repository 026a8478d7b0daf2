"""Collections in the shape of OpenAI's vector stores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from gnomon.serve.schemas.search import MOST_QUERIES, QueryText


class FileCounts(BaseModel):
    """Documents by state: all of them can be searched."""

    in_progress: int = 0
    completed: int
    failed: int = 0
    cancelled: int = 0
    total: int


class VectorStore(BaseModel):
    """A collection."""

    id: str = Field(description="The collection's name.", examples=["kb"])
    object: Literal["vector_store"] = "vector_store"
    created_at: int = Field(description="When its first version was made, in Unix seconds.")
    name: str
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["completed"] = "completed"
    expires_after: None = None
    expires_at: None = None
    last_active_at: int | None = None
    metadata: dict[str, str]


class VectorStoreList(BaseModel):
    """A page of collections."""

    object: Literal["list"] = "list"
    data: list[VectorStore]
    first_id: str | None
    last_id: str | None
    has_more: bool


class RankingOptions(BaseModel):
    """How results are ranked."""

    ranker: str = Field("auto", max_length=100, description="Any: a collection has its own ranking.")
    score_threshold: float = Field(0.0, ge=0, le=1, description="Leave out results with a lower score.")


class VectorStoreSearchRequest(BaseModel):
    """A search."""

    query: QueryText | Annotated[list[QueryText], Field(min_length=1, max_length=MOST_QUERIES)]
    filters: dict[str, Any] | None = Field(
        None,
        description="A comparison (eq, ne, gt, gte, lt, lte, in, nin) or a compound (and, or) of attributes.",
        examples=[{"type": "gte", "key": "year", "value": 2020}],
    )
    max_num_results: int = Field(10, ge=1, le=50)
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = Field(False, description="Accepted; a query is searched for as it is.")


class ResultContent(BaseModel):
    """A passage."""

    type: Literal["text"] = "text"
    text: str


class VectorStoreResult(BaseModel):
    """A document's passage."""

    file_id: str = Field(description="The document's id.")
    filename: str
    score: float
    attributes: dict[str, str | float | bool] | None
    content: list[ResultContent]


class VectorStoreResults(BaseModel):
    """The results of a search; there is one page."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[VectorStoreResult]
    has_more: Literal[False] = False
    next_page: None = None
