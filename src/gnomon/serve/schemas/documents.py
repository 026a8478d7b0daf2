"""Documents, and what was done with them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gnomon.serve.schemas.search import Where

Metadata = Annotated[
    dict[str, Any],
    Field(description="Plain JSON values by field; conditions (`where`) compare them.", examples=[{"year": 2020}]),
]


class DocumentIn(BaseModel):
    """A document to add. One with an id that is there already takes its place."""

    model_config = ConfigDict(extra="forbid")

    id: str | int | None = Field(
        None, description="A stable id; it may hold slashes. By default a digest of the text.", examples=["guides/a.md"]
    )
    text: str | None = Field(None, description="The text.", examples=["A gnomon casts the shadow of a sundial."])
    title: str | None = Field(None, description="The title; alone, it is the text too.")
    metadata: Metadata | None = None
    source: str | None = Field(None, description="Where the text is from, kept as it is: the server never opens it.")
    media_type: str | None = Field(None, description="The kind of text.", examples=["text/markdown"])


class AddProblem(BaseModel):
    """A line or document that was not added, or not as it should be."""

    line: int | None = Field(None, description="The number of the line, from 1, of a body of JSON lines.")
    id: str | None = Field(None, description="The id of the document.")
    reason: str
    hint: str = ""


class AddReport(BaseModel):
    """What became of the documents that were sent."""

    lines: int = Field(description="Lines that were read, of a body of JSON lines.")
    documents: int = Field(description="Documents that are new or changed.")
    unchanged: int = Field(description="Documents that were there already just so.")
    refused: int = Field(description="Lines that hold no document; the others went in.")
    chunks_added: int
    chunks_removed: int
    embedded: int = Field(description="Chunks whose vectors were computed.")
    cached: int = Field(description="Chunks whose vectors were known.")
    truncated: int = Field(description="Chunks longer than the model reads.")
    tokens: int = Field(description="Tokens of the chunks that were embedded.")
    cost: float = Field(description="What a model's server charged, in USD.")
    problem_count: int
    problems: list[AddProblem] = Field(description="The first 1000 problems.")


class DocumentIds(BaseModel):
    """Ids of documents, in the order in which they were last written."""

    ids: list[str]
    next: str | None = Field(description="The cursor of the next page (`after`); null on the last page.")


class ChunkSpan(BaseModel):
    """A chunk's place in its document's text."""

    ordinal: int
    start: int = Field(description="The first character.")
    end: int = Field(description="The character after the last.")
    heading: list[str] = Field(description="The headings above it, outermost first.")
    tokens: int


class DocumentOut(BaseModel):
    """A document."""

    id: str
    title: str
    text: str
    metadata: Metadata
    source: str = Field(description="Where it is from; of a file of the server only its name.")
    media_type: str
    chunks: list[ChunkSpan] | None = Field(None, description="Its chunks, where `chunks=true` asks for them.")


class DeleteDocuments(BaseModel):
    """Which documents to delete: ids, or a condition."""

    model_config = ConfigDict(extra="forbid")

    ids: list[str] | None = Field(None, max_length=10_000, description="Ids; unknown ones are ignored.")
    where: Where = None


class DeleteReport(BaseModel):
    """What was deleted."""

    documents: int
    chunks: int
