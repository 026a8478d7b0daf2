"""An encoder that is served: requests of all callers share its batches."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.instrumentation import stage
from gnomon.core.space import Space
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vectors import Vectors
from gnomon.encode.batched import BatchedEncoder, BatchReport
from gnomon.encode.call_queue import CountedTexts, QueueLoad
from gnomon.encode.matryoshka import dims_matryoshka
from gnomon.serve.errors import Overloaded, TimeLimit
from gnomon.serve.models.names import ModelName
from gnomon.serve.settings import ServeSettings
from gnomon.serve.work import QueueChanged, WorkQueue, unobserved

SHORT_CHARACTERS = 2000
"""Texts of up to so many characters are tokenised at once: a thread would cost more."""
_LONGEST_RETRY_S = 60


class ServedEncoder:
    """An encoder under its name. Requests of all callers share its batches; those that it cannot take soon are refused.

    Raises ModelUnsupported for a model of a vector a token.
    """

    def __init__(
        self,
        name: ModelName,
        encoder: Encoder,
        *,
        settings: ServeSettings,
        work: WorkQueue,
        changed: QueueChanged = unobserved,
    ) -> None:
        if encoder.space.similarity == "maxsim":
            raise ModelUnsupported(
                f"{name.public} makes a vector a token",
                expected="a model of one vector a text: /v1/embeddings has no place for more",
                hint="gnomon serve a collection that is indexed with it",
            )
        self.name, self._limits, self._work = name, settings.limits, work
        self._queued_tokens = settings.batching.queued_tokens
        self._tokens_per_s = 0.0
        self._changed, self._requests = changed, 0
        self.memory_bytes = 0
        """What this process grew by when it was loaded; 0 where that is not known."""
        batching = settings.batching
        self._batched = BatchedEncoder(
            encoder,
            max_wait_s=batching.max_wait_ms / 1000 if batching.enabled else 0,
            batch_tokens=batching.max_tokens or getattr(encoder, "batch_tokens", None),
            max_calls=None if batching.enabled else 1,
            observe=self._measure,
        )

    @property
    def space(self) -> Space:
        """The space of its vectors."""
        return self._batched.space

    @property
    def max_tokens(self) -> int:
        """The longest text read whole."""
        return self._batched.max_tokens

    @property
    def load(self) -> QueueLoad:
        """What waits to be encoded."""
        return self._batched.load

    @cached_property
    def dims(self) -> tuple[int, ...]:
        """The prefixes that vectors may be cut to; none where only the whole is meant."""
        return dims_matryoshka(self.name.source)

    @cached_property
    def _decoder(self) -> Any:
        from tokenizers import Tokenizer

        plain = self._batched.tokenizer_json
        return None if plain is None else Tokenizer.from_str(plain)

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """The texts of token ids. Raises InvalidInput for ids that the model's tokenizer does not have."""
        if self._decoder is None:
            raise InvalidInput(f"token ids for {self.name.public}, whose tokenizer is not here", expected="texts")
        size = self._decoder.get_vocab_size()
        if strange := next((each for row in tokens for each in row if each >= size), None):
            raise InvalidInput(
                f"the token id {strange}: {self.name.public} has {size} tokens",
                expected="ids of the model's own tokenizer",
                hint="send texts; LangChain's OpenAIEmbeddings does with check_embedding_ctx_length=False",
            )
        return [self._decoder.decode(list(row)) for row in tokens]

    async def embed(self, texts: Sequence[str], *, role: Role, truncate: bool = False) -> tuple[Vectors, int]:
        """Each text's vector, and the tokens of all as they were read.

        Raises InvalidInput for over-long texts unless they are to be truncated, Overloaded where too much waits, and
        TimeLimit.
        """
        is_short = sum(map(len, texts)) <= SHORT_CHARACTERS
        counted = self._batched.count(texts, role=role) if is_short else await self._counted(texts, role)
        if not truncate:
            self._require_whole(counted.counts)
        self._require_room(sum(counted.lengths))
        future = self._batched.submit(counted)
        self._count(1)
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                with stage("encode"):
                    vectors = await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise TimeLimit(f"the request took more than {self._limits.request_seconds:g} seconds") from error
        finally:
            self._count(-1)
        return vectors, sum(counted.lengths)

    def warm_up(self) -> None:
        """Compile the model, so that the first request does not wait for it."""
        if not isinstance(self._batched.encoder, MeteredEncoder):  # which would be paid for
            self._batched.encode(["warm-up"], role="query")

    def close(self) -> None:
        """End the threads, when what waits is encoded."""
        self._batched.close()

    def _count(self, change: int) -> None:
        self._requests += change
        waiting = min(self._batched.load.calls, self._requests)
        self._changed(waiting, self._requests - waiting)

    async def _counted(self, texts: Sequence[str], role: Role) -> CountedTexts:
        return await self._work.run(self._batched.count, texts, role=role)

    def _require_whole(self, counts: Sequence[int]) -> None:
        limit = self._batched.max_tokens
        if max(counts, default=0) > limit:
            at, count = next((at, count) for at, count in enumerate(counts) if count > limit)
            raise InvalidInput(
                f"input[{at}] has {count} tokens, and {self.name.public} reads {limit}",
                expected=f"at most {limit} tokens",
                hint='send "truncate": true to have it cut, or shorter texts',
            )

    def _require_room(self, tokens: int) -> None:
        load = self._batched.load
        if load.calls and load.tokens + tokens > self._queued_tokens:
            wait = load.tokens / self._tokens_per_s if self._tokens_per_s else 1.0
            raise Overloaded(
                f"{load.tokens} tokens are waiting to be encoded already",
                retry_after_seconds=min(_LONGEST_RETRY_S, max(1, math.ceil(wait))),
                expected=f"at most {self._queued_tokens} with those of this request",
                hint="send it again after the seconds of the retry-after header",
            )

    def _measure(self, report: BatchReport) -> None:
        rate = self._batched.lanes * report.tokens / max(report.encoded_s, 1e-9)
        self._tokens_per_s += 0.1 * (rate - self._tokens_per_s) if self._tokens_per_s else rate
