"""What a collection is made with. Fixed for a version: changing one of these makes another version."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from gnomon.core.errors import InvalidInput
from gnomon.retrieve.feedback import RM3Settings, RocchioSettings
from gnomon.retrieve.fuse import FuseSettings
from gnomon.retrieve.neighbours import NeighbourSettings

Mode = Literal["hybrid", "dense", "lexical"]
By = Literal["chunk", "document"]
DEFAULT_MODEL = "all-MiniLM-L6-v2"
_STAGES = {"rocchio": RocchioSettings, "rm3": RM3Settings, "neighbours": NeighbourSettings}


@dataclass(frozen=True)
class RetrievalSettings:
    """How a collection searches: the mode, the fusion of a hybrid search, and the language of its words.

    Stages that need no model are off by default, since each helps some corpora and harms others: see
    docs/stages.md. `rocchio` is feedback of the dense part, `rm3` of the keyword part, and `neighbours`
    smooths what comes out.
    """

    mode: Mode = "hybrid"
    fuse: FuseSettings = field(default_factory=FuseSettings)
    language: str = "en"
    rocchio: RocchioSettings | None = None
    rm3: RM3Settings | None = None
    neighbours: NeighbourSettings | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise InvalidInput(f"mode {self.mode!r}", wanted=f"one of {', '.join(get_args(Mode))}")

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        plain = asdict(self)
        # A stage that is off is left out: catalogs from before there were stages say the same.
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> RetrievalSettings:
        """The settings that `to_json` wrote."""
        fuse = dict(plain["fuse"])
        fuse["weights"] = tuple(fuse["weights"]) if fuse["weights"] is not None else None
        stages: dict[str, Any] = {
            name: kind(**plain[name]) for name, kind in _STAGES.items() if plain.get(name) is not None
        }
        return cls(mode=plain["mode"], fuse=FuseSettings(**fuse), language=plain["language"], **stages)


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
