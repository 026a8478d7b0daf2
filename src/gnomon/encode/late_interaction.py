"""Late interaction: a vector a token, compared by MaxSim.

Khattab and Zaharia 2020, ColBERT (arXiv:2004.12832).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.core.contracts import Role, RoleMethods
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.space import Space
from gnomon.core.token_counting import TokenCounting
from gnomon.core.vectors import Vectors
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.late_interaction import LateInteractionLayout
from gnomon.encode.runtime.batches import padded_batches, parallel_map, windows
from gnomon.encode.runtime.runners import LazyRunner, late_runner, require_floating
from gnomon.encode.runtime.tokenizer import TextTokenizer, check_texts, warn_truncated
from gnomon.encode.settings import EncoderSettings, check_dim

Rows = Float[np.ndarray, "_ dim"]


class LateEncoder(RoleMethods):
    """A late-interaction model. Keeps the contract of `Encoder`, with `starts` in its vectors.

    Queries and documents have their own limits: `max_tokens` is the documents'. Safe to use from several
    threads; compiles on first use. Raises ModelUnsupported, and InvalidInput for settings it does not run on.
    """

    def __init__(self, layout: LateInteractionLayout, settings: EncoderSettings | None = None) -> None:
        self._layout, self._settings = layout, settings or EncoderSettings()
        check_dim(self._settings, layout.dim, layout.name)
        require_floating(self._settings, layout.name)
        transformer_spec(layout.family, layout.config)
        self._runner = LazyRunner(lambda: late_runner(layout, self._settings))
        self._tokenizers = {role: self._tokenizer_of(role) for role in get_args(Role)}
        self._skipped = self._ids_of(layout.skiplist)
        self._filler = self._expansion_id()

    @cached_property
    def _full_space(self) -> Space:
        return Space.of(self._layout.ingredients(), name=self._layout.name)

    @property
    def space(self) -> Space:
        """The model's space, of similarity "maxsim", or its prefix where `dim` is set."""
        return self._full_space.truncate(self._settings.dim or self._layout.dim)

    @property
    def max_tokens(self) -> int:
        """The longest document read whole, in tokens, special tokens and prompt included."""
        return self._layout.limits["document"]

    @property
    def lanes(self) -> int:
        """How many calls of `encode` run at once; further ones wait their turn."""
        return self._settings.lanes

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer in the `tokenizers` library's JSON, without truncation and padding."""
        return self._tokenizers["document"].json

    @property
    def token_counting(self) -> TokenCounting:
        """How documents' tokens are counted, for a process without the model."""
        return self._tokenizers["document"].counting("document")

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Each text's length in tokens, special tokens and prompt included, before truncation and augmentation."""
        check_texts(texts)
        return self._tokenizer(role).tokenise(texts, role=role).counts

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One item a text, in the order given: a row for each token that counts. Warns TruncatedText.

        Raises InvalidInput for what is not a sequence of strings, and for texts of which no token counts.
        """
        check_texts(texts)
        tokenizer = self._tokenizer(role)
        items: list[Rows] = [np.zeros((0, self._layout.dim), dtype=np.float32)] * len(texts)
        counts: list[int] = []
        tokenise = partial(tokenizer.tokenise, role=role)
        for start, tokenised in windows(texts, tokenise, threads=self._settings.thread_count):
            counts += tokenised.counts
            for at, rows in self._encoded(tokenised.ids, role, start):
                items[at] = rows
        warn_truncated(counts, limit=self._layout.limits[role], name=self._layout.name)
        vectors = self._concatenated(items)
        return vectors if self._settings.dim is None else vectors.truncate(self._settings.dim)

    def _encoded(self, rows: Sequence[Int[np.ndarray, " _"]], role: Role, start: int) -> Iterator[tuple[int, Rows]]:
        wide = [self._augmented(row, role) for row in rows]
        expansion = self._layout.expansion
        attended_rows = wide if expansion and expansion.attend else rows
        attended = np.array([len(row) for row in attended_rows], dtype=np.int32)
        budget = self._settings.batch_budget
        batches = padded_batches(wide, self._layout, budget_tokens=budget, start=start)
        for (positions, ids, lengths), states in parallel_map(
            lambda batch: (batch, self._runner.run(batch[1], attended[batch[0]])),
            batches,
            lanes=self.lanes,
        ):
            for at, row, length, own in zip(positions, ids, lengths, states, strict=True):
                yield start + int(at), own[:length][self._kept_tokens(row[:length], role)]

    def _augmented(self, row: Int[np.ndarray, " _"], role: Role) -> Int[np.ndarray, " _"]:
        expansion = self._layout.expansion
        if role != "query" or expansion is None or len(row) >= expansion.length:
            return row
        return np.pad(row, (0, expansion.length - len(row)), constant_values=self._filler)

    def _kept_tokens(self, ids: Int[np.ndarray, " _"], role: Role) -> Bool[np.ndarray, " _"]:
        if role not in self._layout.skiplist_roles:
            return np.ones(len(ids), dtype=np.bool_)
        return np.isin(ids, self._skipped, invert=True)

    def _concatenated(self, items: Sequence[Rows]) -> Vectors:
        lengths = np.array([len(item) for item in items], dtype=np.int64)
        if not lengths.all():
            raise InvalidInput(
                f"{int((lengths == 0).sum())} texts of which no token counts, at positions "
                f"{np.flatnonzero(lengths == 0)[:10].tolist()}",
                expected="texts with a token outside the model's skiplist",
                hint="leave these texts out",
            )
        empty = np.zeros((0, self._layout.dim), dtype=np.float32)
        data = np.concatenate(items) if len(items) else empty
        return Vectors(data, self._full_space, np.cumsum(lengths) - lengths)

    def _tokenizer(self, role: Role) -> TextTokenizer:
        if role not in self._tokenizers:
            raise InvalidInput(f"role {role!r}", expected=f"one of {', '.join(self._tokenizers)}")
        return self._tokenizers[role]

    def _tokenizer_of(self, role: Role) -> TextTokenizer:
        return TextTokenizer(
            self._layout.tokenizer,
            prompts={role: self._layout.prompts[role]},
            max_tokens=self._layout.limits[role],
            threads=self._settings.thread_count,
        )

    def _ids_of(self, words: Sequence[str]) -> np.ndarray[Any, Any]:
        # As sentence-transformers does: a word that is no token of the vocabulary is ignored.
        found = [self._tokenizers["document"].id_of(word) for word in words]
        return np.array([at for at in found if at is not None], dtype=np.int64)

    def _expansion_id(self) -> int:
        expansion = self._layout.expansion
        if expansion is None:
            return 0
        found = self._tokenizers["query"].id_of(expansion.token)
        if found is None:
            raise ModelUnsupported(
                f"{self._layout.name} augments queries with {expansion.token!r}, not in its vocabulary",
                expected="a token of the tokenizer's",
                hint="correct query_expansion in the model's sentence_bert_config.json",
            )
        return found
