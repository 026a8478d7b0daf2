"""Sparse encoders: a text to weights of a vocabulary's tokens, most of them zero.

SPLADE (Formal et al. 2021, arXiv:2109.10086), inference-free queries (arXiv:2411.04403), and the sparse head of BGE-M3
(arXiv:2402.03216).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, get_args

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.core.token_counting import TokenCounting
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.files import special_token
from gnomon.encode.layout.sparse import SparseLayout, SparseTower
from gnomon.encode.runtime.batches import pad_id, padded_batches, parallel_map, windows
from gnomon.encode.runtime.runners import LazyRunner, require_floating, sparse_runner
from gnomon.encode.runtime.tokenizer import TextTokenizer, TokenisedTexts, check_texts, warn_truncated
from gnomon.encode.settings import EncoderSettings

Row = tuple[Int[np.ndarray, " _"], Float[np.ndarray, " _"]]
"""Rising token ids and their weights."""
_Texts = Sequence[Int[np.ndarray, " _"]]
_AT_ONCE = 1 << 22
"""Weights of whole vocabularies that are held at once, 16 MB a thread."""
_EMPTY: Row = (np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


class SparseEncoder:
    """A sparse encoder. Keeps the contract of `SparseTextEncoder`. Safe to use from several threads.

    Compiles on first use. Raises ModelUnsupported for a config that is not supported, and InvalidInput for settings
    that it does not run on (`dim` among them: the dimensions are tokens, in no order).
    """

    def __init__(self, layout: SparseLayout, settings: EncoderSettings | None = None) -> None:
        self._layout, self._settings = layout, settings or EncoderSettings()
        require_floating(self._settings, layout.name)
        if self._settings.dim is not None:
            raise InvalidInput(
                f"dim = {self._settings.dim} for {layout.name}, a sparse encoder",
                expected="no dim: the dimensions are tokens, and their order means nothing",
                hint="leave `dim` out",
            )
        made: dict[int, Callable[[_Texts], Iterator[tuple[int, Row]]]] = {}
        self._tokenizers = {role: self._tokenizer_of(role) for role in get_args(Role)}
        self._rows = {}
        for role, tower in layout.towers.items():
            # One network where both roles have the same tower.
            self._rows[role] = made.setdefault(id(tower), self._rows_of(tower, self._tokenizers[role]))

    @cached_property
    def space(self) -> Space:
        """The model's space: a dimension a token of the vocabulary, compared by the dot product."""
        return Space.of(self._layout.ingredients(), name=self._layout.name)

    @property
    def max_tokens(self) -> int:
        """The longest document read whole, in tokens, special tokens and prompt included."""
        return self._layout.towers["document"].max_tokens

    @property
    def lanes(self) -> int:
        """How many calls of `encode` run at once; further ones wait their turn."""
        return self._settings.lanes

    @property
    def tokenizer_json(self) -> str:
        """The documents' tokenizer in the `tokenizers` library's JSON, without truncation and padding."""
        return self._tokenizers["document"].json

    @property
    def token_counting(self) -> TokenCounting:
        """How documents' tokens are counted, for a process without the model."""
        return self._tokenizers["document"].counting("document")

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Each text's length in tokens, special tokens and prompt included, before truncation."""
        check_texts(texts)
        return self._tokenizer(role).tokenise(texts, role=role).counts

    def encode(self, texts: Sequence[str], *, role: Role) -> SparseVectors:
        """One row a text, in the order given; a text of which no token counts has an empty one. Warns TruncatedText.

        Raises InvalidInput for what is not a sequence of strings.
        """
        check_texts(texts)
        tokenizer, rows, counts = self._tokenizer(role), [_EMPTY] * len(texts), list[int]()
        read = partial(tokenizer.tokenise, role=role)
        for start, tokenised in windows(texts, read, threads=self._settings.thread_count):
            counts += tokenised.counts
            for at, row in self._rows[role](tokenised.ids):
                rows[start + at] = _greatest(row, self._layout.max_active)
        warn_truncated(counts, limit=self._layout.towers[role].max_tokens, name=self._layout.name)
        return SparseVectors.of(rows, self.space)

    def encode_query(self, texts: str | Sequence[str]) -> SparseVectors:
        """`encode` with the role "query"; a lone string is one text."""
        return self.encode([texts] if isinstance(texts, str) else texts, role="query")

    def encode_document(self, texts: str | Sequence[str]) -> SparseVectors:
        """`encode` with the role "document"; a lone string is one text."""
        return self.encode([texts] if isinstance(texts, str) else texts, role="document")

    def terms(self, vectors: SparseVectors, *, role: Role = "document") -> list[dict[str, float]]:
        """The weight of each token of the vocabulary, by the token's string, the greatest first; a row each."""
        self.space.require(vectors.space)
        named = []
        for one in vectors:
            order = np.argsort(-one.data, kind="stable")
            strings = self._tokenizer(role).strings(one.indices[order])
            named.append(dict(zip(strings, one.data[order].tolist(), strict=True)))
        return named

    def _tokenizer(self, role: Role) -> TextTokenizer:
        if role not in self._tokenizers:
            raise InvalidInput(f"role {role!r}", expected=f"one of {', '.join(self._tokenizers)}")
        return self._tokenizers[role]

    def _tokenizer_of(self, role: Role) -> TextTokenizer:
        tower = self._layout.towers[role]
        return TextTokenizer(
            tower.tokenizer,
            prompts={role: self._layout.prompts[role]},
            max_tokens=tower.max_tokens,
            threads=self._settings.thread_count,
            special=tower.kind != "static",
        )

    def _rows_of(self, tower: SparseTower, tokenizer: TextTokenizer) -> Callable[[_Texts], Iterator[tuple[int, Row]]]:
        if tower.kind == "static":
            return partial(_static_rows, weights=_static_weights(tower, tokenizer), name=tower.name)
        transformer_spec(tower.family, tower.config)
        runner = LazyRunner(lambda: sparse_runner(tower, self._settings))
        special = _special_ids(tower, tokenizer)
        return partial(self._network_rows, tower, runner, special=special)

    def _network_rows(
        self, tower: SparseTower, runner: LazyRunner, texts: _Texts, *, special: Int[np.ndarray, " _"]
    ) -> Iterator[tuple[int, Row]]:
        filled = TokenisedTexts(list(texts), []).filled(pad_id(tower)).ids
        most = max(1, _AT_ONCE // tower.dim)

        def run(batch: tuple[Any, Any, Any]) -> tuple[Any, list[Row]]:
            positions, ids, lengths = batch
            if tower.kind == "tokens":
                weights = runner.run(ids, lengths)
                tokens = [(row[:n], own[:n]) for row, own, n in zip(ids, weights, lengths, strict=True)]
                return positions, [_largest_of_each(*pair, special=special) for pair in tokens]
            spans = [slice(at, at + most) for at in range(0, len(ids), most)]
            return positions, [row for span in spans for row in _nonzero(runner.run(ids[span], lengths[span]))]

        batches = padded_batches(filled, tower, budget_tokens=self._settings.batch_budget)
        for positions, rows in parallel_map(run, batches, lanes=self.lanes):
            for at, row in zip(positions.tolist(), rows, strict=True):
                yield at, row if len(texts[at]) else _EMPTY


def _static_rows(texts: _Texts, *, weights: Float[np.ndarray, " vocabulary"], name: str) -> Iterator[tuple[int, Row]]:
    for at, ids in enumerate(texts):
        tokens = np.unique(ids).astype(np.int32)
        if len(tokens) and tokens[-1] >= len(weights):
            raise ModelUnsupported(
                f"{name}'s tokenizer gave the id {tokens[-1]} to {len(weights)} weights",
                expected="a tokenizer that fits the model",
                hint="fetch the model again: tokenizer and weights are of two versions",
            )
        tokens = tokens[weights[tokens] != 0]
        yield at, (tokens, weights[tokens])


def _static_weights(tower: SparseTower, tokenizer: TextTokenizer) -> Float[np.ndarray, " vocabulary"]:
    if tower.weights.suffix != ".json":
        return Weights(tower.weights)["weight"].float32()
    weights = np.zeros(tower.dim, dtype=np.float32)
    for token, weight in json.loads(tower.weights.read_bytes()).items():
        at = tokenizer.id_of(token)
        if at is not None and at < tower.dim:
            weights[at] = weight
    return weights


def _special_ids(tower: SparseTower, tokenizer: TextTokenizer) -> Int[np.ndarray, " _"]:
    """Tokens that never count for BGE-M3: those that begin, end, fill up or stand for what is not known."""
    if tower.kind != "tokens":
        return np.zeros(0, dtype=np.int64)
    base = tower.tokenizer.parent
    names = [special_token(base, (kind,)) for kind in ("cls_token", "eos_token", "pad_token", "unk_token")]
    found = [tokenizer.id_of(name) for name in names if name]
    return np.array([at for at in found if at is not None], dtype=np.int64)


def _nonzero(dense: Float[np.ndarray, "texts vocabulary"]) -> list[Row]:
    made = []
    for row in dense:
        tokens = np.flatnonzero(row).astype(np.int32)
        made.append((tokens, row[tokens]))
    return made


def _largest_of_each(
    ids: Int[np.ndarray, " tokens"], weights: Float[np.ndarray, " tokens"], *, special: Int[np.ndarray, " _"]
) -> Row:
    keep = (weights > 0) & ~np.isin(ids, special)
    tokens, place = np.unique(ids[keep], return_inverse=True)
    largest = np.zeros(len(tokens), dtype=np.float32)
    np.maximum.at(largest, place, weights[keep])
    return tokens.astype(np.int32), largest


def _greatest(row: Row, count: int | None) -> Row:
    tokens, weights = row
    if count is None or len(tokens) <= count:
        return row
    kept = np.sort(np.argsort(-np.abs(weights), kind="stable")[:count])
    return tokens[kept], weights[kept]
