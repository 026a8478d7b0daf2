"""A reranker whose scores come from a provider's server."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.core.token_counting import CountTokens
from gnomon.encode.digest import digest_json
from gnomon.encode.providers.client import ProviderClient
from gnomon.encode.providers.description import (
    Malformed,
    Provider,
    ProviderSettings,
    Rerank,
    RerankReply,
    RerankRequest,
)
from gnomon.encode.providers.models import described, rerankers
from gnomon.encode.providers.parallel import as_answered, request_batches
from gnomon.encode.providers.tokens import estimate_all, tokenizer_on_this_machine
from gnomon.encode.providers.usage import Usage, UsageCounter
from gnomon.encode.runtime.tokenizer import check_texts


class ProviderScorer:
    """Scores of one reranker of a provider. Keeps the contract of `Scorer`; threads may share it.

    Texts go out in requests that the provider takes, several at once, and their scores come back in the order of the
    texts. Raises InvalidInput for a provider without rerankers, ProviderFailed where there is no key.
    """

    def __init__(self, provider: Provider, model: str, options: ProviderSettings | None = None) -> None:
        self._options = options or ProviderSettings()
        self._rerank = _reranker_of(provider, model)
        self._model = described(provider, model, self._options)
        self._client = ProviderClient(provider, model, self._options)
        self._usage = UsageCounter(self._model.price, self._model.search_price)

    def __repr__(self) -> str:
        return f"ProviderScorer({self.name!r})"

    @property
    def name(self) -> str:
        """The name that `load_scorer` opens it by."""
        return self._client.name

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the provider's and the model's name: all that is known of what decides its scores."""
        return digest_json({"provider": self._client.provider.name, "reranker": self._client.model})

    @property
    def max_tokens(self) -> int:
        """The longest pair read whole: query and text together; 0 where it is not known."""
        return self._model.max_tokens

    @property
    def usage(self) -> Usage:
        """Requests, texts, tokens or search units, and dollars so far."""
        return self._usage.total

    def score(self, query: str, texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
        """One score a text, higher is better.

        Warns TruncatedText for pairs beyond `max_tokens`, which the provider cuts. Raises InvalidInput for what is no
        text, and ProviderFailed and ModelNotFound where the server gives no scores.
        """
        check_texts([query])
        check_texts(texts)
        scores = np.empty(len(texts), dtype=np.float32)
        if not len(texts):
            return scores
        own, *counts = self._count([query, *texts])
        pairs = [own + count for count in counts]

        def send(batch: range, stop: threading.Event) -> tuple[range, Float[np.ndarray, " _"]]:
            request = RerankRequest(self._client.model, query, [texts[at] for at in batch], self.max_tokens)
            return batch, self._request(request, sum(pairs[at] for at in batch), stop)

        provider, known = self._client.provider, self._model
        items, tokens = known.request_texts or provider.max_pairs, known.request_tokens or provider.max_tokens
        batches = request_batches(pairs, items=items, tokens=tokens)
        for batch, found in as_answered(send, batches, lanes=self._options.parallel):
            scores[batch.start : batch.stop] = found
        self._warn(pairs)
        return scores

    def close(self) -> None:
        """Ends requests that wait, and closes the connections."""
        self._client.close()

    @cached_property
    def _count(self) -> CountTokens:
        counting = tokenizer_on_this_machine(self._model.tokenizer)
        return estimate_all if counting is None else counting.counter()

    def _request(self, request: RerankRequest, tokens: int, stop: threading.Event) -> Float[np.ndarray, " _"]:
        path, body = self._rerank.request(request)
        answer = self._client.post(path, body, tokens=tokens, stop=stop)
        count, what = len(request.texts), ""
        reply = RerankReply(np.empty(0, dtype=np.float32))
        try:
            reply = self._rerank.reply(answer, count)
        except Malformed as error:
            what = str(error)
        self._usage.add(texts=count, tokens=reply.tokens, estimate=0 if reply.units else tokens, units=reply.units or 0)
        if what:
            raise self._client.errors.malformed(what, count)
        return reply.scores

    def _warn(self, pairs: Sequence[int]) -> None:
        over = [count for count in pairs if count > self.max_tokens > 0]
        if over:
            warnings.warn(
                f"{len(over)} of {len(pairs)} pairs are longer than the {self.max_tokens} tokens that {self.name} "
                f"reads (longest: about {max(over)} tokens); what lies beyond is not in their scores. Cut the texts "
                "into shorter chunks",
                TruncatedText,
                stacklevel=3,
            )


def _reranker_of(provider: Provider, model: str) -> Rerank:
    if provider.rerank is None:
        raise InvalidInput(
            f"{provider.title} has no rerankers, and so no {model!r} that scores texts",
            expected=f"one of {', '.join(rerankers())}, or http://HOST:PORT/v1#MODEL",
            hint="a model of vectors is opened with gnomon.load_encoder",
        )
    return provider.rerank
