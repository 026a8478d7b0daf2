"""The tables of a recipe. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gnomon.core.errors import InvalidInput
from gnomon.train.data.batches import Mixing
from gnomon.train.data.source import DataSourceSettings

Kind = Literal["bi", "dual", "late", "cross", "static", "sparse"]
Pooling = Literal["mean", "cls", "last", "max", "weightedmean", "attention"]
Similarity = Literal["cosine", "dot", "euclidean"]
Head = Literal["classifier", "maxsim"]
Precision = Literal["auto", "float32", "bfloat16"]
Schedule = Literal["linear", "cosine", "constant"]
LossName = Literal[
    "infonce", "triplet", "contrastive", "cosent", "margin_mse", "listwise_kl", "cosine", "embedding_regression"
]
LOSS_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "infonce": ("temperature", "direction", "learned", "hardness"),
    "triplet": ("margin", "hardest"),
    "contrastive": ("margin",),
    "cosent": ("temperature",),
    "margin_mse": ("scale",),
    "listwise_kl": ("temperature", "teacher_temperature"),
    "cosine": (),
    "embedding_regression": (),
}
_IN_BATCH = frozenset({"infonce", "triplet"})
_LABELS: Mapping[str, tuple[float, float]] = {
    "infonce": (0.0, 1.0),
    "triplet": (0.0, 1.0),
    "contrastive": (0.0, 1.0),
    "cosine": (-1.0, 1.0),
}
"""The labels that losses take; the others take any finite number."""


def _require(holds: bool, message: str, expected: str) -> None:
    if not holds:
        raise InvalidInput(message, expected=expected)


@dataclass(frozen=True)
class NewNetworkTable:
    """A network with random weights in place of a trained one; `more` goes into its config as it is."""

    model_type: str = "bert"
    hidden: int = 384
    layers: int = 6
    heads: int = 12
    wide: int = 0
    max_tokens: int = 512
    seed: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = min(self.hidden, self.layers, self.heads, self.max_tokens)
        _require(sizes > 0, f"a size of {sizes}", "sizes of at least 1")
        fits = self.hidden % self.heads == 0
        _require(fits, f"hidden = {self.hidden}", f"a multiple of heads ({self.heads})")


@dataclass(frozen=True)
class LateTable:
    """Late interaction: the length of queries (0 leaves them as they are), and what fillers and marks do."""

    query_tokens: int = 32
    attend: bool = False
    skip_punctuation: bool = True


@dataclass(frozen=True)
class ModelTable:
    """[model]: what is trained. None, 0, "" and no prompts: as the folder of `backbone` says.

    `backbone` is a folder, a hub id or a short name; `new` replaces it by a network with random weights.
    `tokenizer` is that of a new network: a model's name, or "wordpiece" or "bpe" for one made for the corpus.
    `teacher` is a model whose vectors texts are to have: of parallel sentences both have that of the sentence, of all
    other data each text has its own. They are kept in the folder `teacher_vectors` ("" is one beside the model), and
    `teacher_max_cost` USD may be spent on them where the teacher is a provider's.
    """

    kind: Kind = "bi"
    backbone: str = "all-MiniLM-L6-v2"
    new: NewNetworkTable | None = None
    document_backbone: str = ""
    pooling: Pooling | None = None
    dim: int = 0
    max_tokens: int | None = None
    similarity: Similarity | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    pool_prompt: bool = True
    tokenizer: str = "wordpiece"
    vocabulary: int = 30_000
    late: LateTable | None = None
    head: Head | None = None
    teacher: str = ""
    teacher_vectors: str = ""
    teacher_max_cost: float | None = None
    dropout: float | None = None
    attention_dropout: float | None = None
    checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _require(self.dim >= 0, f"dim = {self.dim}", "0 (as the model has) or more")
        some = self.max_tokens is None or self.max_tokens > 0
        _require(some, f"max_tokens = {self.max_tokens}", "at least 1")
        for name in ("dropout", "attention_dropout"):
            value = getattr(self, name)
            _require(value is None or 0 <= value < 1, f"{name} = {value}", "at least 0 and less than 1")
        _require(self.late is None or self.kind == "late", "a table [model.late]", 'kind = "late"')
        _require(self.head is None or self.kind == "cross", f"head = {self.head!r}", 'kind = "cross"')
        one_tower = not self.teacher or self.kind in ("bi", "static")
        _require(one_tower, f"a teacher for kind = {self.kind!r}", 'kind = "bi" or "static"')
        paid = self.teacher_max_cost is None or self.teacher_max_cost >= 0
        _require(paid, f"teacher_max_cost = {self.teacher_max_cost}", "USD, 0 or more")
        alone = bool(self.teacher) or not (self.teacher_vectors or self.teacher_max_cost is not None)
        _require(alone, "teacher_vectors or teacher_max_cost without a teacher", "teacher in [model]")
        only_dual = not self.document_backbone or self.kind == "dual"
        _require(only_dual, f"document_backbone = {self.document_backbone!r}", 'kind = "dual"')
        unknown = sorted(set(self.prompts) - {"query", "document"})
        roles = "prompts for query and document; others with sources"
        _require(not unknown, f"a prompt for {unknown}", roles)


@dataclass(frozen=True)
class DataTable:
    """[data]: sources to train on ([[data.sources]]), to watch (dev) and to report (test), and how they mix.

    `strict` refuses data with any finding; without it bad rows are left out and the rest is reported.
    """

    sources: tuple[DataSourceSettings, ...]
    dev: tuple[DataSourceSettings, ...] = ()
    test: tuple[DataSourceSettings, ...] = ()
    mixing: Mixing = "proportional"
    distinct: bool = True
    drop_short: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        _require(bool(self.sources), "no sources", "at least one [[data.sources]] with its path")
        ends = not (self.drop_short and self.mixing == "weighted")
        _require(ends, "drop_short where sources are mixed by weight", "one of the two")


@dataclass(frozen=True)
class MatryoshkaTable:
    """[objective.matryoshka]: the prefixes of the dimensions to be good in; 0 is all dimensions."""

    dims: tuple[int, ...]
    weights: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _require(bool(self.dims) and min(self.dims) >= 0, f"dims = {list(self.dims)}", "sizes, 0 for all")
        same = self.weights is None or len(self.weights) == len(self.dims)
        _require(same, f"{len(self.weights or ())} weights", f"{len(self.dims)}, one for each of dims")


@dataclass(frozen=True)
class LayerWiseTable:
    """[objective.layer_wise]: layers to be good in too, counted from the end (-1 the last), and prefixes."""

    layers: tuple[int, ...]
    dims: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        _require(bool(self.layers), "layers = []", "at least one, -1 is the last")


@dataclass(frozen=True)
class MaskFalseNegativesTable:
    """[objective.mask_false_negatives]: negatives that score above the limit are not learned from."""

    threshold: float = 0.0
    against: Literal["absolute", "margin", "share"] = "margin"


@dataclass(frozen=True)
class FlopsTable:
    """[objective.flops]: the factors of the FLOPS of queries and documents, for a sparse encoder.

    They rise with the square of the steps over the first `ramp` of the run.
    """

    query: float = 3e-4
    document: float = 1e-4
    ramp: float = 0.33

    def __post_init__(self) -> None:
        _require(min(self.query, self.document) >= 0, f"factors {self.query} and {self.document}", "0 or more")
        _require(0 <= self.ramp <= 1, f"ramp = {self.ramp}", "a share of the steps, 0 to 1")


@dataclass(frozen=True)
class ObjectiveTable:
    """[objective]: its name, its settings (None: its own default), and what is wrapped around it.

    `in_batch` None is what the objective wants: other examples' documents are negatives for infonce and
    triplet, and for no other.
    """

    name: LossName = "infonce"
    temperature: float | None = None
    direction: Literal["query", "document", "both"] | None = None
    learned: bool | None = None
    hardness: float | None = None
    margin: float | None = None
    hardest: bool | None = None
    scale: float | None = None
    teacher_temperature: float | None = None
    in_batch: bool | None = None
    matryoshka: MatryoshkaTable | None = None
    layer_wise: LayerWiseTable | None = None
    mask_false_negatives: MaskFalseNegativesTable | None = None
    flops: FlopsTable | None = None

    def __post_init__(self) -> None:
        for name in self.settings:
            known = LOSS_SETTINGS[self.name]
            _require(
                name in known,
                f"{name}, which the loss {self.name!r} does not have",
                f"its settings: {', '.join(known) or 'none'}",
            )
        both = self.matryoshka is not None and self.layer_wise is not None
        _require(not both, "matryoshka and layer_wise", "one of them: layer_wise has dims of its own")

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that were given, as `train.losses.make_loss` takes them."""
        names = {name for known in LOSS_SETTINGS.values() for name in known}
        return {name: getattr(self, name) for name in sorted(names) if getattr(self, name) is not None}

    @property
    def uses_batch(self) -> bool:
        """Whether other examples' documents are negatives."""
        return self.name in _IN_BATCH if self.in_batch is None else self.in_batch

    @property
    def labels(self) -> tuple[float, float] | None:
        """The range of the labels it takes; None for any finite number."""
        return _LABELS.get(self.name)


@dataclass(frozen=True)
class OptimTable:
    """[optim]: `warmup` is a share of the steps; `steps` ends the run before `epochs` do, where it is given.

    `batch_size` counts examples. `chunk` is the texts (or pairs) computed at once (GradCache), None all that
    there are. `clip` bounds the gradient's norm, 0 leaves it. `ema` is the decay of a running mean of the
    weights; `average` the share of the trained weights in the mean with those of the start.
    """

    lr: float = 2e-5
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: Schedule = "linear"
    epochs: int = 1
    steps: int | None = None
    batch_size: int = 64
    chunk: int | None = None
    chunk_tokens: int | None = None
    clip: float = 1.0
    precision: Precision = "auto"
    seed: int = 0
    ema: float | None = None
    average: float | None = None

    def __post_init__(self) -> None:
        _require(0 < self.lr < math.inf, f"lr = {self.lr}", "a number above 0, such as 2e-5")
        _require(0 <= self.weight_decay < math.inf, f"weight_decay = {self.weight_decay}", "0 or more")
        _require(0 <= self.warmup < 1, f"warmup = {self.warmup}", "a share of the steps, 0 to below 1")
        _require(0 <= self.clip < math.inf, f"clip = {self.clip}", "0 (none) or more")
        for name in ("epochs", "steps", "batch_size", "chunk", "chunk_tokens"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"{name} = {value}", "at least 1")
        _require(self.seed >= 0, f"seed = {self.seed}", "0 or more")
        _require(self.ema is None or 0 < self.ema < 1, f"ema = {self.ema}", "between 0 and 1, such as 0.999")
        fits = self.average is None or 0 < self.average <= 1
        _require(fits, f"average = {self.average}", "above 0 (the start) to 1 (the trained weights)")
        _require(self.ema is None or self.average is None, "ema and average", "one of them")


@dataclass(frozen=True)
class DevTable:
    """[dev]: the metric, every how many steps (0: at each epoch's end), and the patience:
    so many evaluations without a better one end the run (0: never). One during the run ranks at most `corpus`
    documents, all that are judged among them (0: all there are); the report at the end ranks all. `map` is
    how many queries are tracked for the report's picture of what training does to them (0: none).
    """

    metric: str = "nDCG@10"
    every: int = 0
    patience: int = 0
    corpus: int = 5000
    map: int = 3

    def __post_init__(self) -> None:
        _require(0 <= self.map <= 8, f"map = {self.map}", "0 to 8 queries")
        _require(self.corpus >= 0, f"corpus = {self.corpus}", "documents, or 0 for all")
        _require(self.every >= 0, f"every = {self.every}", "steps, or 0 for each epoch's end")
        _require(self.patience >= 0, f"patience = {self.patience}", "evaluations, or 0 for no early end")


@dataclass(frozen=True)
class OutputTable:
    """[output]: the model's folder, steps between checkpoints (0: at each epoch's end), and how many stay."""

    folder: str = "model"
    checkpoint_every: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        _require(bool(self.folder), "folder = ''", "a folder to write to")
        _require(self.checkpoint_every >= 0, f"checkpoint_every = {self.checkpoint_every}", "0 or more")
        _require(self.keep >= 1, f"keep = {self.keep}", "at least 1")
