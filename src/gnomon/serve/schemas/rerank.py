"""Reranking, in the forms of Cohere (v1 and v2), Jina and text-embeddings-inference."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, StrictBool, StrictStr, model_validator


class TextDocument(BaseModel):
    """A document as an object; other fields are passed over."""

    text: StrictStr


def _checked_documents(value: Any) -> Any:
    """Texts, or objects with a text."""
    if not isinstance(value, list) or not value:
        raise ValueError("a list of one or more texts is expected")
    for at, item in enumerate(value):
        if not isinstance(item, str) and not (isinstance(item, dict) and isinstance(item.get("text"), str)):
            raise ValueError(f'what is at position {at} is neither a text nor {{"text": …}}')
    return value


Documents = Annotated[
    list[StrictStr | TextDocument],
    BeforeValidator(_checked_documents),
    Field(
        description='Texts, or objects with a "text".', examples=[["The Rhine is a river.", "A clock tells the time."]]
    ),
]
Query = Annotated[str, Field(min_length=1, description="What is looked for.", examples=["rivers of Europe"])]
ModelField = Annotated[
    str | None, Field(description="A reranker that GET /v1/models lists; not needed where one is served.")
]
TopN = Annotated[int | None, Field(ge=1, description="How many results to give; all, where it is left out.")]


class RerankRequest(BaseModel):
    """What Cohere's and Jina's clients send."""

    query: Query
    documents: Documents
    model: ModelField = None
    top_n: TopN = None
    return_documents: StrictBool = Field(default=False, description="Give each result's text as well.")

    @property
    def texts(self) -> list[str]:
        """The documents' texts."""
        return [each if isinstance(each, str) else each.text for each in self.documents]


class TeiRerankRequest(BaseModel):
    """What POST /rerank takes: `texts` as text-embeddings-inference has it, or `documents` as infinity and Jina do."""

    query: Query
    texts: Annotated[list[StrictStr] | None, Field(min_length=1, description="The texts to be ordered.")] = None
    documents: Documents | None = None
    model: ModelField = None
    top_n: TopN = None
    raw_scores: StrictBool = Field(default=False, description="Give logits, instead of scores from 0 to 1.")
    return_text: StrictBool = Field(default=False, description="Give each result's text as well.")
    return_documents: StrictBool = Field(default=False, description="The same, for `documents`.")
    truncate: StrictBool = Field(default=False, description="Cut over-long texts, instead of refusing them.")

    @model_validator(mode="after")
    def _one_of_both(self) -> TeiRerankRequest:
        if (self.texts is None) == (self.documents is None):
            raise ValueError("either texts or documents are expected")
        return self


class TeiRank(BaseModel):
    """A result in the form of text-embeddings-inference."""

    index: int = Field(description="The position of the text in the request.")
    score: float
    text: str | None = None


class RerankedDocument(BaseModel):
    """The text of a result."""

    text: str


class RerankResult(BaseModel):
    """A result, best first."""

    index: int = Field(description="The position of the document in the request.")
    relevance_score: float = Field(description="From 0 to 1.")
    document: RerankedDocument | None = None


class RerankResponse(BaseModel):
    """Results in the forms of Cohere and Jina, which are one but for what counts the cost."""

    id: str
    object: str = "list"
    model: str
    results: list[RerankResult]
    meta: dict[str, Any] = Field(description="Cohere's: the API's version, and search units.")
    usage: dict[str, int] = Field(description="Jina's: tokens.")
