"""What a change of a collection would cost, and its migration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gnomon.core.vector_types import VectorType
from gnomon.migrate import Change


class ChangeRequest(BaseModel):
    """The wanted differences from the live version; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    to: str | None = Field(
        None,
        max_length=300,
        description="A model: of `gnomon models`, of another version, or one that is served; no folder or address.",
        examples=["bge-small-en-v1.5"],
    )
    chunk_tokens: int | None = Field(None, ge=1, le=1_000_000, description="Cut the documents anew, so long at most.")
    dim: int | None = Field(None, ge=1, le=1_000_000, description="Keep the first dimensions of each vector.")
    vector_type: VectorType | None = Field(None, description="How vectors are stored.")
    retrieval: dict[str, Any] | None = Field(
        None, description="Search settings by their paths.", examples=[{"fuse.weights": [0.3, 0.7]}]
    )
    add_models: list[str] = Field([], max_length=8, description="Further models, named like `to`.")
    remove_models: list[str] = Field([], max_length=8, description="Further models to do without.")
    second_stage: bool = Field(False, description="The further models only score the first results.")

    def change(self) -> Change:
        """The change as the library has it."""
        return Change(
            self.to,
            self.chunk_tokens,
            self.retrieval,
            self.dim,
            self.vector_type,
            tuple(self.add_models),
            tuple(self.remove_models),
            self.second_stage,
        )


class PlanRequest(ChangeRequest):
    """A change whose cost is asked for."""

    price: float | None = Field(None, ge=0, description="The price of a million tokens, where it is not the known one.")
    cpu_share: float = Field(0.5, gt=0, le=1, description="The share of the processor for the build.")


class PlanAnswer(BaseModel):
    """What a change would cost; nothing was changed."""

    live: str
    live_model: str
    model: str
    space: str
    dim: int
    chunking: dict[str, Any]
    keeps_chunks: bool
    retrieval: dict[str, Any]
    documents: int
    chunks: int
    cached: int = Field(description="Chunks that have a vector already.")
    texts: int = Field(description="Texts to embed.")
    tokens: int
    too_long: int = Field(description="Texts that the model would cut off.")
    speed: dict[str, Any] = Field(description="Measured on a sample.")
    share: dict[str, Any]
    seconds: float = Field(description="The time of the build.")
    cost: float | None = Field(description="Money, where there is a price.")
    bytes: dict[str, Any] = Field(description="Disk space before, with both versions, afterwards, and free.")
    server: dict[str, Any] | None
    spaces: list[dict[str, Any]] = Field(description="Further models beside the first: texts, tokens, seconds, bytes.")


class JudgedQuery(BaseModel):
    """A query with the documents that answer it."""

    model_config = ConfigDict(extra="forbid")

    id: str | None = None
    query: str = Field(min_length=1, examples=["how does a sundial work"])
    relevant: list[str] | dict[str, int] = Field(description="Ids of documents, or ids with grades.")


class MigrationRequest(ChangeRequest):
    """A change to make: a new version is built beside the live one, compared with it, and switched to if it passes."""

    judged: list[JudgedQuery] | None = Field(
        None, max_length=100_000, description="Judged queries: they decide whether the new version is as good."
    )
    metric: str = Field("nDCG@10", description="What decides.", examples=["nDCG@10"])
    margin: float = Field(0.01, ge=0, description="The loss of the mean that is still acceptable.")
    segment: str | None = Field(None, description="Break the verdict down by this field of the metadata.")
    switch_if: Literal["not-worse", "better", "never"] = Field("not-worse", description="What the switch needs.")
    without_proof: bool = Field(False, description="Switch although no judged queries say that it is as good.")
    hot_first: bool = Field(
        False, description="Embed the documents first that logged queries, or the judged ones, find most often."
    )
    adapter: bool = Field(False, description="Answer the new model's queries during the build, by an adapter.")
    cpu_share: float = Field(0.5, gt=0, le=1, description="The share of the processor for the build.")
    max_cost: float | None = Field(None, ge=0, description="What a model's server may charge at most, in USD.")
    interleave: float | None = Field(
        None, gt=0, le=1, description="Do not switch at once: let clicks on this share of the searches decide."
    )


class MigrationState(BaseModel):
    """The state of a migration."""

    run: str = Field(description="The id of this run.")
    running: bool
    stage: str = Field(description="checking, fitting, building, indexing, judging, switching or over.")
    outcome: str | None = Field(
        description="switched, interleaving, ready, refused, stopped, failed or killed; null while it runs."
    )
    why: str
    version: str | None
    live: str
    model: str | None
    started: str
    updated: str
    documents: int
    behind: int = Field(description="Documents that the version lacks.")
    texts: int
    texts_done: int
    tokens: int
    tokens_done: int
    rate: float = Field(description="Tokens a second.")
    left_s: float | None = Field(description="Seconds until all texts are embedded, at the rate so far.")
    seconds: float
    queries: int = Field(description="Searches of the gate.")
    queries_done: int
    cost: float | None
    cost_done: float
    gate: str | None = Field(description="The gate's outcome.")
    report: str | None = Field(description="The address of the gate's report.")
    switch_seconds: float | None
    order: str
    adapter: dict[str, Any] | None
    error: dict[str, str] | None = Field(description="What was raised, where it failed.")


class MigrationList(BaseModel):
    """The running or last migration, if there was one."""

    migrations: list[MigrationState]


class MigrationLog(BaseModel):
    """The end of the log."""

    lines: list[str]
