"""Static embedding models: a vector a token from a table, and their mean. No network, no compilation.

model2vec (https://github.com/MinishLab/model2vec) and sentence-transformers' StaticEmbedding layouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.contracts import Role, RoleMethods
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.instrumentation import count
from gnomon.core.similarity import normalise
from gnomon.core.space import Space
from gnomon.core.token_counting import TokenCounting
from gnomon.core.unknown_text import unknown_vector, warn_unknown
from gnomon.core.vectors import Vectors
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.runtime.batches import length_batches
from gnomon.encode.runtime.numpy_layers import numpy_layer
from gnomon.encode.runtime.tokenizer import TextTokenizer, check_texts, warn_truncated
from gnomon.encode.settings import EncoderSettings, check_dim

GATHER_TOKENS = 16_384  # rows gathered at a time: 16 MB at 256 dimensions
WINDOW_TEXTS = 8192


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """A row a token. model2vec may share rows between tokens (`mapping`) and weight each token (`weights`)."""

    rows: np.ndarray[Any, np.dtype[Any]]  # [rows, dim], float32, float16 or int8 as stored
    mapping: Int[np.ndarray, " vocabulary"] | None
    weights: Float[np.ndarray, " vocabulary"] | None
    drops_unknown: bool

    def look_up(self, ids: Int[np.ndarray, " tokens"]) -> Float[np.ndarray, "tokens dim"]:
        """The weighted row of each token."""
        rows = self.rows[ids if self.mapping is None else self.mapping[ids]].astype(np.float32, copy=False)
        return np.asarray(rows if self.weights is None else rows * self.weights[ids, None])


class StaticEncoder(RoleMethods):
    """A static model. Safe to use from several threads.

    Raises ModelUnsupported for a file without a table, and for a table that does not fit its tokenizer.
    """

    def __init__(self, layout: ModelLayout, settings: EncoderSettings | None = None) -> None:
        self._settings, self._layout = settings or EncoderSettings(), layout
        check_dim(self._settings, layout.dim, layout.name)
        _require_plain(self._settings, layout.name)
        self._tokenizer = TextTokenizer(
            layout.tokenizer,
            prompts=layout.prompts,
            max_tokens=None,
            threads=self._settings.thread_count,
            special=False,
        )
        self._table = _read_table(layout, self._tokenizer.vocabulary)
        self._unknown = self._tokenizer.unknown_id if self._table.drops_unknown else None
        self._layers = [numpy_layer(layer) for layer in layout.projections]

    @cached_property
    def _full_space(self) -> Space:
        return Space.of(self._layout.ingredients(precision="float"), name=self._layout.name)

    @property
    def space(self) -> Space:
        """The model's space, or its prefix where `dim` is set."""
        return self._full_space.truncate(self._settings.dim or self._layout.dim)

    @property
    def max_tokens(self) -> int:
        """How many known tokens of a text are read."""
        return self._layout.max_tokens

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer in the `tokenizers` library's JSON, without truncation and padding."""
        return self._tokenizer.json

    @property
    def token_counting(self) -> TokenCounting:
        """How documents' tokens are counted, for a process without the model."""
        return replace(self._tokenizer.counting("document"), without=self._unknown)

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """How many known tokens each text has, the role's prompt included, before truncation."""
        check_texts(texts)
        return [len(row) for row in self._known(texts, role)]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One row a text, in the order given. Warns TruncatedText.

        A text without one known token has no direction: it gets `unknown_vector`, and UnknownText is warned of.
        Raises InvalidInput for what is not a sequence of strings.
        """
        check_texts(texts)
        rows = np.empty((len(texts), self._layout.dim), dtype=np.float32)
        counts: list[int] = []
        unknown: list[int] = []
        for start in range(0, len(texts), WINDOW_TEXTS):
            known = self._known(texts[start : start + WINDOW_TEXTS], role)
            counts += [len(row) for row in known]
            means = self._means(known)
            # A zero mean is of a model that keeps a row of zeros for unknown tokens.
            blank = [at for at, row in enumerate(known) if not len(row) or not means[at].any()]
            means[blank] = 1
            rows[start : start + len(known)] = self._finish(means)
            unknown += [start + at for at in blank]
        rows[unknown] = unknown_vector(self._layout.dim)
        if role == "document":  # of queries the search tells, which knows what it does without them
            warn_unknown(unknown, of=len(texts), name=self._layout.name)
        warn_truncated(counts, limit=self._layout.max_tokens, name=self._layout.name)
        vectors = Vectors(rows, self._full_space)
        return vectors if self._settings.dim is None else vectors.truncate(self._settings.dim)

    def _known(self, texts: Sequence[str], role: Role) -> list[Int[np.ndarray, " _"]]:
        ids = self._tokenizer.tokenise(texts, role=role).ids
        return ids if self._unknown is None else [row[row != self._unknown] for row in ids]

    def _means(self, known: Sequence[Int[np.ndarray, " _"]]) -> Float[np.ndarray, "texts dim"]:
        # A text without a token is read as the first token here, and gets its own vector afterwards.
        first = np.zeros(1, dtype=np.int32)
        cut = [row[: self._layout.max_tokens] if len(row) else first for row in known]
        lengths = np.array([len(row) for row in cut], dtype=np.int64)
        out = np.empty((len(cut), self._table.rows.shape[1]), dtype=np.float32)
        for positions in length_batches(lengths, budget_tokens=GATHER_TOKENS):
            count("batch", texts=len(positions), tokens=int(lengths[positions].sum()))
            looked_up = self._table.look_up(np.concatenate([cut[at] for at in positions]))
            starts = np.cumsum(lengths[positions]) - lengths[positions]
            out[positions] = np.add.reduceat(looked_up, starts, axis=0) / lengths[positions, None]
        return out

    def _finish(self, means: Float[np.ndarray, "texts _"]) -> Float[np.ndarray, "texts _"]:
        for layer in self._layers:
            means = layer(means)
        return normalise(means) if self._layout.normalise and len(means) else means


def _require_plain(settings: EncoderSettings, name: str) -> None:
    unsupported = settings.device if settings.on_torch else settings.precision
    if settings.on_torch or unsupported == "int8":
        raise InvalidInput(
            f"{unsupported!r} for {name}, a static model",
            expected="a static model as it is: it looks rows up and multiplies nothing",
            hint="leave out device and precision",
        )


def _read_table(layout: ModelLayout, vocabulary: int) -> EmbeddingTable:
    weights = Weights(layout.weights)
    # sentence-transformers means over unknown tokens too; model2vec leaves them out.
    own = "embedding.weight" in weights
    rows = weights["embedding.weight" if own else "embeddings"]
    mapping = weights["mapping"].bits if "mapping" in weights else None
    scale = weights["weights"].float32() if "weights" in weights else None
    fits = {
        f"{len(rows.bits)} rows": mapping is not None or len(rows.bits) >= vocabulary,
        "a mapping that misses tokens or leads out of the table": mapping is None
        or (len(mapping) >= vocabulary and mapping.min() >= 0 and mapping.max() < len(rows.bits)),
        "weights that miss tokens": scale is None or len(scale) >= vocabulary,
    }
    for problem, is_fine in fits.items():
        if not is_fine:
            raise ModelUnsupported(
                f"{layout.weights} has {problem}, for a tokenizer of {vocabulary} tokens",
                expected="a row for every token",
                hint="fetch the model again: tokenizer and weights are of two versions",
            )
    table = rows.float32() if rows.dtype == "BF16" else rows.bits
    return EmbeddingTable(table, mapping, scale, drops_unknown=not own)
