"""Embeddings, in OpenAI's form and in that of text-embeddings-inference."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainValidator, StrictBool

from gnomon.core.contracts import Role

InputType = Literal["query", "document", "passage", "search_query", "search_document"]
ROLES: dict[InputType, Role] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "search_document": "document",
    "passage": "document",
}


def _checked_input(value: Any) -> Any:
    """One text, texts, one text's token ids, or several texts' token ids."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise ValueError("a text, a list of texts, or lists of token ids are expected")
    if not items:
        raise ValueError("it is empty")
    if isinstance(items[0], str):
        if not all(isinstance(item, str) for item in items):
            raise ValueError("texts and other values are mixed")
        if "" in items:
            raise ValueError(f"the text at position {items.index('')} is empty")
        return value
    rows = items if isinstance(items[0], list) else [items]
    for at, row in enumerate(rows):
        if not isinstance(row, list) or not row or not all(type(item) is int and item >= 0 for item in row):
            raise ValueError(f"what is at position {at} is neither a text nor a list of token ids")
    return value


Truncate = Annotated[
    StrictBool | Literal["NONE", "END"],
    Field(description="Cut over-long texts, instead of refusing them.", examples=[False]),
]


class EmbeddingsRequest(BaseModel):
    """What POST /v1/embeddings takes: OpenAI's fields, and `input_type` and `truncate`."""

    input: Annotated[
        Any,
        PlainValidator(_checked_input, json_schema_input_type=str | list[str] | list[int] | list[list[int]]),
        Field(
            description="A text, any number of texts, or their token ids by the model's own tokenizer.",
            examples=["The gnomon casts a shadow.", ["one text", "another"]],
        ),
    ]
    model: str | None = Field(
        default=None,
        description="A name that GET /v1/models lists; not needed where one model is served.",
        examples=["all-MiniLM-L6-v2"],
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="`base64`: the float32 numbers of each vector, little-endian."
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="Keep the first dimensions only; for models trained for that (Matryoshka)."
    )
    user: str | None = Field(default=None, description="Accepted and not used.")
    input_type: InputType = Field(
        default="document",
        description="What the texts are. Models that were trained with a prompt for each get it.",
    )
    truncate: Truncate = False

    @property
    def role(self) -> Role:
        """The encoder's role."""
        return ROLES[self.input_type]


class EmbedRequest(BaseModel):
    """What POST /embed of text-embeddings-inference takes."""

    inputs: Annotated[
        str | list[str],
        BeforeValidator(_checked_input),
        Field(description="A text, or any number of texts.", examples=["The gnomon casts a shadow."]),
    ]
    normalize: bool = Field(default=True, description="Make the vectors' length 1.")
    truncate: Truncate = False
    prompt_name: InputType = Field(default="document", description="What the texts are.")
    dimensions: int | None = Field(default=None, ge=1, description="Keep the first dimensions only.")


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"]
    index: int = Field(description="The position of its text in the request.")
    embedding: list[float] | str = Field(description="The numbers, or with `base64` the text that encodes them.")


class TokenUsage(BaseModel):
    """Tokens as the model read them."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """The vectors, in the order of the texts."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: TokenUsage


class Model(BaseModel):
    """A model that is served."""

    id: str = Field(description="Its name in requests.")
    object: Literal["model"] = "model"
    created: int = Field(description="When the server started, in seconds since 1970.")
    owned_by: str = "gnomon"
    kind: Literal["embedding", "reranker"]
    dim: int | None = Field(default=None, description="Dimensions of its vectors.")
    dimensions: list[int] = Field(default=[], description="Sizes that its vectors may be cut to.")
    max_tokens: int | None = Field(default=None, description="The longest text, or pair of texts, that it reads whole.")
    space: str | None = Field(default=None, description="The fingerprint of its vector space.")
    memory_bytes: int | None = Field(default=None, description="What loading it took, where the system tells.")
    aliases: list[str] = Field(default=[], description="Other names that requests may use.")


class ModelList(BaseModel):
    """All models that are served."""

    object: Literal["list"] = "list"
    data: list[Model]
