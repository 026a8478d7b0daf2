"""A reranker that is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Reranker
from gnomon.core.errors import InvalidInput
from gnomon.core.instrumentation import stage
from gnomon.serve.models.names import ModelName
from gnomon.serve.work import WorkQueue


class ServedScorer:
    """A reranker under its name."""

    def __init__(self, name: ModelName, scorer: Reranker, work: WorkQueue) -> None:
        self.name, self.scorer, self._work = name, scorer, work
        self.memory_bytes = 0
        """What this process grew by when it was loaded; 0 where that is not known."""

    @property
    def max_tokens(self) -> int | None:
        """The longest pair read whole; None where that is not known."""
        return getattr(self.scorer, "max_tokens", 0) or None

    async def score(self, query: str, texts: Sequence[str], *, truncate: bool = True) -> PairScores:
        """A score a text. Raises InvalidInput for over-long pairs unless they are to be truncated."""
        with stage("rerank"):
            return await self._work.run(self._score, query, texts, truncate=truncate)

    def warm_up(self) -> None:
        """Compile the model, so that the first request does not wait for it."""
        if hasattr(self.scorer, "activation"):  # a provider's would be paid for
            self.scorer.score("warm-up", ["warm-up"])

    def _score(self, query: str, texts: Sequence[str], *, truncate: bool) -> PairScores:
        count = getattr(self.scorer, "count_tokens", None)
        counts = count(query, texts) if count else []
        limit = self.max_tokens
        if not truncate and limit and max(counts, default=0) > limit:
            at, longest = next((at, tokens) for at, tokens in enumerate(counts) if tokens > limit)
            raise InvalidInput(
                f"query and texts[{at}] have {longest} tokens together, and {self.name.public} reads {limit}",
                expected=f"at most {limit} tokens",
                hint='send "truncate": true to have them cut, or shorter texts',
            )
        tokens = sum(min(tokens, limit or tokens) for tokens in counts)
        return PairScores(self.scorer.score(query, texts), getattr(self.scorer, "activation", None), tokens)


@dataclass(frozen=True, eq=False)
class PairScores:
    """Scores as the model gives them, with the activation that made them; a provider's have none that is known."""

    scores: Float[np.ndarray, " texts"]
    activation: str | None
    tokens: int

    @property
    def relevance(self) -> Float[np.ndarray, " texts"]:
        """Between 0 and 1."""
        return 1 / (1 + np.exp(-self.scores)) if self.activation == "identity" else self.scores

    @property
    def logits(self) -> Float[np.ndarray, " texts"]:
        """Before the activation, where that is known."""
        if self.activation != "sigmoid":
            return self.scores
        inside = np.clip(self.scores.astype(np.float64), 1e-12, 1 - 1e-12)
        return np.log(inside / (1 - inside)).astype(np.float32)
