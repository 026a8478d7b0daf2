"""Cross-encoders: a query and a text read together, to one score.

Nogueira and Cho 2019, Passage Re-ranking with BERT (arXiv:1901.04085).
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.encode.batches import pad
from gnomon.encode.cross_layout import CrossLayout
from gnomon.encode.feed import padded_batches, side_by_side
from gnomon.encode.graph.recipe import recipe_of
from gnomon.encode.pair_tokens import PairTokenizer
from gnomon.encode.runners import require_floating
from gnomon.encode.settings import EncoderSettings
from gnomon.encode.tokens import check_texts

if TYPE_CHECKING:
    from gnomon.encode.runners import Runner


class CrossEncoder:
    """A cross-encoder. Keeps the contract of `Scorer`. Safe to use from several threads.

    Compiles on first use. Raises ModelUnsupported for a config that the graph does not do, and InvalidInput
    for settings that it does not run on (`dim` among them: there are no vectors to cut).
    """

    def __init__(self, layout: CrossLayout, settings: EncoderSettings | None = None) -> None:
        self._layout, self._settings = layout, settings or EncoderSettings()
        require_floating(self._settings, layout.name)
        if self._settings.dim is not None:
            raise InvalidInput(
                f"dim = {self._settings.dim} for {layout.name}, a cross-encoder",
                wanted="no dim: a cross-encoder makes no vectors",
                next_step="leave `dim` out",
            )
        recipe_of(layout.family, layout.config)
        self._lock = threading.Lock()
        self._network: Runner | None = None
        self._tokenizer = PairTokenizer(layout.tokenizer, max_tokens=layout.max_tokens)

    @property
    def name(self) -> str:
        """The model's, for people."""
        return self._layout.name

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides its scores."""
        return self._layout.fingerprint

    @property
    def max_tokens(self) -> int:
        """The longest pair read whole: query, text and special tokens together."""
        return self._layout.max_tokens

    def score(self, query: str, texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
        """One score a text, higher is better: what the model's own activation makes of its logit.

        Warns TruncatedText for pairs beyond `max_tokens`. Raises InvalidInput for what is not text.
        """
        check_texts([query])
        check_texts(texts)
        scores = np.empty(len(texts), dtype=np.float32)
        pairs = self._tokenizer.tokenise(self._layout.prompt + query, texts)
        budget = self._settings.batch_budget

        def run(batch: tuple[Any, Any, Any]) -> tuple[Any, Any]:
            positions, ids, lengths = batch
            kinds = (pad([pairs.kinds[at] for at in positions], pad_id=0),) if self._layout.types else ()
            return positions, self._runner().run(ids, lengths, *kinds)

        batches = padded_batches(pairs.ids, self._layout, budget_tokens=budget)
        for positions, made in side_by_side(run, batches, lanes=self._settings.lanes):
            scores[positions] = made
        self._warn(pairs.counts)
        return scores

    def _warn(self, counts: Sequence[int]) -> None:
        limit = self._layout.max_tokens
        over = [count for count in counts if count > limit]
        if over:
            warnings.warn(
                f"{len(over)} of {len(counts)} pairs are longer than the {limit} tokens that "
                f"{self._layout.name} reads (longest: {max(over)} tokens); what lies beyond is not in their "
                "scores. Cut the texts into shorter chunks",
                TruncatedText,
                stacklevel=3,
            )

    def _runner(self) -> Runner:
        if self._network is None:
            with self._lock:
                if self._network is None:
                    from gnomon.encode.runners import pair_runner

                    self._network = pair_runner(self._layout, self._settings)
        return self._network
