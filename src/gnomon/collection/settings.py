"""What a collection is made with. Fixed for a version: changing one of these makes another version."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from gnomon.core.errors import InvalidInput
from gnomon.retrieve.fuse import FuseSettings

Mode = Literal["hybrid", "dense", "lexical"]
By = Literal["chunk", "document"]
DEFAULT_MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class RetrievalSettings:
    """How a collection searches: the mode, the fusion of a hybrid search, and the language of its words."""

    mode: Mode = "hybrid"
    fuse: FuseSettings = field(default_factory=FuseSettings)
    language: str = "en"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InvalidInput(f"mode {self.mode!r}", wanted=f"one of {', '.join(get_args(Mode))}")

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> RetrievalSettings:
        """The settings that `to_json` wrote."""
        fuse = dict(plain["fuse"])
        fuse["weights"] = tuple(fuse["weights"]) if fuse["weights"] is not None else None
        return cls(mode=plain["mode"], fuse=FuseSettings(**fuse), language=plain["language"])


@dataclass(frozen=True)
class CollectionSettings:
    """What a new collection is made with; an existing one must agree with whatever is not None.

    `model` is a short name, a hub id or a folder (default: all-MiniLM-L6-v2). `chunk_tokens` (default: what
    the model reads whole, at most 256) and `chunk_overlap` (default: an eighth) are in the model's tokens.
    `prepend_title` (default: yes) puts title and headings before the text for embedding. `threads` is for
    this process only and not kept.
    """

    model: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    prepend_title: bool | None = None
    retrieval: RetrievalSettings | None = None
    threads: int | None = None


@dataclass(frozen=True)
class IndexOptions:
    """How an index run reads files: glob patterns to leave out, and the largest file that is read."""

    exclude: tuple[str, ...] = ()
    max_file_mb: float = 50.0
