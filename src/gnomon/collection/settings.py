"""The settings that a collection is made with. They are fixed for a version: other settings make another version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.space import Space
from gnomon.core.vector_types import VectorType, require_vector_type
from gnomon.index.analysis import require_language
from gnomon.index.quantised_search import Chosen, require_chosen
from gnomon.retrieve.feedback import NeighbourSettings, RM3Settings, RocchioSettings
from gnomon.retrieve.fuse import FuseSettings
from gnomon.retrieve.rerank import RerankSettings
from gnomon.retrieve.spaces import SpaceSettings, list_names, space_settings
from gnomon.retrieve.sparse import SparseSettings
from gnomon.stores import StoreAddress
from gnomon.text.settings import ReadSettings

Mode = Literal["hybrid", "dense", "lexical", "sparse"]
By = Literal["chunk", "document"]
DEFAULT_MODEL = "all-MiniLM-L6-v2"


@dataclass(frozen=True)
class QueryEncoderSettings:
    """Another model for queries than the documents', which shares their space by its maker's word.

    `fingerprint` (hex SHA-256) identifies the one that was tested when it was set; it is filled in there. Raises
    InvalidInput for no name.
    """

    model: str
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise InvalidInput(f"query_encoder.model = {self.model!r}", expected="a model's name or folder")


STAGES = {
    "rocchio": RocchioSettings,
    "rm3": RM3Settings,
    "neighbours": NeighbourSettings,
    "rerank": RerankSettings,
    "sparse": SparseSettings,
    "query_encoder": QueryEncoderSettings,
}
"""The optional stages of a search, by the names of their settings."""
RENAMED_SETTINGS = {"rerank.share": "rerank.weight"}
"""Old names of settings of a group: in catalogs of 0.1, and on the command line for one minor version."""
_INDEX: Chosen = "auto"
_BY_MEANING = 0.6
"""What all lists of vectors weigh together in a fusion of several spaces, where no weights are set."""


@dataclass(frozen=True)
class RetrievalSettings:
    """How a collection searches: the mode, the fusion of a hybrid search, and the language of its words.

    Stages that need no model are off by default, since each helps some corpora and harms others: see
    docs/stages.md. `rocchio` is relevance feedback for the dense part, `rm3` for the keyword part, and `neighbours`
    smooths the scores of the result. `rerank` is a second model that reorders the first results. `sparse` is a sparse
    encoder, whose results are a list of a hybrid search: `fuse.weights` then has one more, for the last list.
    `query_encoder` is another model for queries, in the documents' space. `store` is the address of an engine that
    holds the vectors in place of a local index, such as qdrant://localhost:6333: see docs/stores.md.
    `spaces` are further dense encoders, each with its own vectors: the ranking of one is a list of a hybrid search,
    after the others in `fuse.weights` (by default 0.6 is shared by all models, and 0.4 is for words), or it scores
    the first results a second time; "dense" searches by the version's own model alone. See docs/adapting.md.

    `index` is how similar vectors are found: auto (a scan of short codes), exact (every vector compared), or
    hnsw or ivf, which compare fewer vectors and aim at 0.99 of the ten nearest rather than 0.998. Up to
    20,000 passages all of them compare every vector. Raises InvalidInput for an unknown mode, index or store.
    """

    mode: Mode = "hybrid"
    fuse: FuseSettings = field(default_factory=FuseSettings)
    language: str = "auto"
    rocchio: RocchioSettings | None = None
    rm3: RM3Settings | None = None
    neighbours: NeighbourSettings | None = None
    index: Chosen = _INDEX
    rerank: RerankSettings | None = None
    sparse: SparseSettings | None = None
    query_encoder: QueryEncoderSettings | None = None
    store: str | None = None
    spaces: tuple[SpaceSettings, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "spaces", space_settings(self.spaces))
        if self.store is not None:
            StoreAddress.parse(self.store)
        require_chosen(self.index)
        require_language(self.language)
        if self.mode not in get_args(Mode):
            raise InvalidInput(f"mode {self.mode!r}", expected=f"one of {', '.join(get_args(Mode))}")
        lists, weights = self.lists, self.fuse.weights
        has_more = self.sparse is not None or self.spaces
        if has_more and weights is not None and len(weights) != len(lists):
            raise InvalidInput(f"{len(weights)} fuse.weights", expected=f"one for each of {', '.join(lists)}")
        if self.sparse is None and self.mode == "sparse":
            raise InvalidInput("mode 'sparse' without a sparse encoder", expected="the setting sparse.model")

    @property
    def lists(self) -> tuple[str, ...]:
        """What a hybrid search fuses, in the order of `fuse.weights`."""
        further = tuple(name for name, one in self.named_spaces if one.place == "beside")
        if self.sparse is None:
            return "dense", "lexical", *further
        return (
            ("dense", "lexical", "sparse", *further) if self.sparse.place == "beside" else ("dense", "sparse", *further)
        )

    @property
    def named_spaces(self) -> tuple[tuple[str, SpaceSettings], ...]:
        """The further spaces, each with the name that its scores have in a hit."""
        return tuple(zip(list_names(self.spaces), self.spaces, strict=True))

    @property
    def fusion(self) -> FuseSettings:
        """How the lists are fused: as it is set, and with the weights of several spaces where none are."""
        by_meaning = [name.startswith("dense") for name in self.lists]
        if self.fuse.weights is not None or sum(by_meaning) < 2:
            return self.fuse
        meaning, words = _BY_MEANING / sum(by_meaning), (1 - _BY_MEANING) / (len(by_meaning) - sum(by_meaning))
        return replace(self.fuse, weights=tuple(meaning if one else words for one in by_meaning))

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        plain: dict[str, Any] = to_plain(self)
        # A stage that is off is left out, and so is the default index, as catalogs of the first schema have it.
        if self.index == _INDEX:
            del plain["index"]
        if not self.spaces:
            del plain["spaces"]
        return {name: value for name, value in plain.items() if value is not None}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> RetrievalSettings:
        """The settings that `to_json` wrote. Raises InvalidInput that names an unknown or wrong key."""
        renamed = {name: _with_new_names(name, value) if name in STAGES else value for name, value in plain.items()}
        return from_plain(cls, renamed, name="retrieval settings")


def check_index_kind(space: Space, retrieval: RetrievalSettings | None) -> None:
    """Raise InvalidInput for settings that vectors of this space cannot be searched by."""
    if retrieval is not None and retrieval.store is not None:
        space.require_one_vector("a store")
    if space.similarity != "maxsim" or retrieval is None:
        return
    if retrieval.index in ("hnsw", "ivf"):
        raise InvalidInput(
            f"the index {retrieval.index} for {space.short}, which has several vectors a text",
            expected="auto or exact",
            hint="leave the index out: auto finds candidates by lists of token vectors",
        )
    if retrieval.rocchio is not None:
        space.require_one_vector("rocchio")


def _with_new_names(group: str, values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {RENAMED_SETTINGS.get(f"{group}.{name}", name).removeprefix(f"{group}."): v for name, v in values.items()}


@dataclass(frozen=True)
class CollectionSettings:
    """The settings of a new collection; an existing one must agree with whatever is not None.

    `model` is a short name, a hub id or a folder (default: all-MiniLM-L6-v2). `chunk_tokens` (default: what
    the model reads whole, at most 256) and `chunk_overlap` (default: an eighth) are in the model's tokens.
    `dim` keeps the first dimensions only (Matryoshka; default: all), and `vector_type` is how vectors are stored:
    float32 (the default, kept in 2 bytes a dimension where that changes no ranking), float16, int8 or binary, in 2,
    1 or 1/8 bytes a dimension.
    `prepend_title` (default: yes) puts title and headings before the text for embedding. `retrieval` as a
    mapping sets some of its settings, and leaves the others open. `sparse` is the name of a sparse encoder, which is
    searched with beside meaning and words (`retrieval.sparse` has its further settings). `store` is the address of an
    engine that holds the vectors, such as qdrant://localhost:6333 (by default they are beside the catalog). `spaces`
    are further models, names or `SpaceSettings`, as in `RetrievalSettings`. `threads` is for this process only and not
    stored. Raises InvalidInput for unknown or wrong retrieval settings.
    """

    model: str | None = None
    chunk_tokens: int | None = None
    chunk_overlap: int | None = None
    prepend_title: bool | None = None
    retrieval: RetrievalSettings | Mapping[str, Any] | None = None
    threads: int | None = None
    dim: int | None = None
    vector_type: VectorType | None = None
    sparse: str | None = None
    store: str | None = None
    spaces: tuple[SpaceSettings | str, ...] = ()

    def __post_init__(self) -> None:
        space_settings(self.spaces)
        if self.store is not None:
            StoreAddress.parse(self.store)
        if self.vector_type is not None:
            require_vector_type(self.vector_type)
        if isinstance(self.retrieval, Mapping):
            known = [one.name for one in fields(RetrievalSettings)]
            if unknown := sorted(set(self.retrieval) - set(known)):
                raise InvalidInput(f"the setting {unknown[0]!r} of retrieval", expected=", ".join(known))
            RetrievalSettings(**self.retrieval)  # raises for values that it does not take


@dataclass(frozen=True)
class RaySettings:
    """Reading and embedding by a Ray cluster (extra "ray").

    `address` is the cluster's (HOST:PORT of its head, ray://HOST:PORT), or "auto": the one that this machine is in, and
    else one that is started on its cores for the run. `workers` is how many encoders run at once, one core each (None:
    one for each core). `shards` is the folder or URL that this machine and all workers reach, through which passages
    and vectors come back (None: below the collection's folder); a shard is deleted once it is committed, unless
    `keep_shards`. Raises InvalidInput for fewer than one worker.
    """

    address: str = "auto"
    workers: int | None = None
    shards: str | None = None
    keep_shards: bool = False

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise InvalidInput(f"ray workers = {self.workers}", expected="1 or more")


@dataclass(frozen=True)
class IndexOptions:
    """How an index run reads files: glob patterns to leave out, and bounds for a file; see `ReadSettings`.

    `max_file_mb` is the largest file that is read, `max_file_s` the longest that reading and chunking one may take
    (seconds), `max_memory_mb` the most memory that it may take.
    `ignore_files`: rules in .gitignore and .gnomonignore files are heeded. `verify`: every file is read and its
    SHA-256 compared, instead of its size and times. `max_cost` is what the run may spend on the model's server, in USD:
    one that would cost more is not begun, and one that comes to it stops there. `ray`: files are read and embedded by a
    cluster.
    """

    exclude: tuple[str, ...] = ()
    ignore_files: bool = True
    verify: bool = False
    max_file_mb: float = 50.0
    max_file_s: float = 60.0
    max_memory_mb: float = 1000.0
    max_cost: float | None = None
    ray: RaySettings | None = None

    @property
    def reading(self) -> ReadSettings:
        """Those of reading files."""
        return ReadSettings(
            max_file_mb=self.max_file_mb,
            max_file_s=self.max_file_s,
            max_memory_mb=self.max_memory_mb,
            exclude=self.exclude,
            ignore_files=self.ignore_files,
        )
