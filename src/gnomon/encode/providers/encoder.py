"""An encoder whose vectors come from a provider's server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import get_args

import numpy as np
from jaxtyping import Float, Int

from gnomon.core import usage as spent
from gnomon.core.contracts import Role, RoleMethods
from gnomon.core.errors import GnomonError, InvalidInput, SpaceMismatch
from gnomon.core.similarity import normalise
from gnomon.core.space import Ingredients, Space
from gnomon.core.token_counting import TokenCounting
from gnomon.core.usage import EncodedBatch, MaySend, always
from gnomon.core.vectors import Vectors
from gnomon.encode.digest import digest_json
from gnomon.encode.providers.client import ProviderClient
from gnomon.encode.providers.description import EmbeddingRequest, Malformed, Provider, ProviderSettings
from gnomon.encode.providers.models import ProviderModel, described
from gnomon.encode.providers.parallel import as_answered, request_batches
from gnomon.encode.providers.tokens import estimate_all, tokenizer_on_this_machine
from gnomon.encode.providers.usage import Usage, UsageCounter
from gnomon.encode.runtime.tokenizer import check_texts
from gnomon.encode.settings import EncoderSettings, check_dim

Positions = Int[np.ndarray, " _"]
_PROBE = "gnomon"
_ROLES: tuple[Role, ...] = get_args(Role)
_SHORTEST_LIMIT = 512
"""Tokens that a model of which nothing is known is taken to read."""


class ProviderEncoder(RoleMethods):
    """Vectors of one model of a provider. Keeps the contract of `Encoder`; threads may share it.

    `encode_batches` gives each request's vectors as they come; `encode` is built on it. Texts are counted before they
    are sent, over-long ones are refused, and the API is told to refuse rather than cut. Equal texts of one call are
    sent once. `settings.dim` keeps the first dimensions (Matryoshka), cut by the server where it does that;
    `settings.threads` bounds parallel requests, `settings.batch_tokens` a request's tokens. `prompts` are put before
    the texts of each role, beside what the API itself is told of the role.

    The space is the provider's name, the model's, and the role settings: neither the address nor a key is part of it.
    "MODEL#REVISION" is another space of the same model: for one that its provider changed without changing its name.
    Raises InvalidInput for settings that a provider cannot keep, ProviderFailed where there is no key.
    """

    def __init__(
        self,
        provider: Provider,
        model: str,
        *,
        settings: EncoderSettings | None = None,
        prompts: Mapping[str, str] | None = None,
        options: ProviderSettings | None = None,
    ) -> None:
        settings, options = settings or EncoderSettings(), options or ProviderSettings()
        model, _, self._revision = model.partition("#")
        _require_remote(settings, model)
        if settings.threads is not None:
            options = replace(options, parallel=settings.threads)
        self._dim, self._options = settings.dim, options
        self._model = described(provider, model, options)
        _require_encoder(provider, model, self._model)
        self._prompts = {role: str((prompts or self._model.prompts).get(role, "")) for role in _ROLES}
        self._client = ProviderClient(provider, model, options)
        self._usage = UsageCounter(self._model.price)
        self._most_tokens = min(
            settings.batch_tokens or options.batch_tokens or 1 << 62, self._model.request_tokens or provider.max_tokens
        )
        self._served: str | None = None
        self._mutex = threading.Lock()

    def __repr__(self) -> str:
        return f"ProviderEncoder({self.name!r})"

    @property
    def name(self) -> str:
        """The name that `load_encoder` opens it by."""
        return f"{self._client.name}#{self._revision}" if self._revision else self._client.name

    @property
    def provider(self) -> Provider:
        """The provider's description."""
        return self._client.provider

    @property
    def price(self) -> float | None:
        """US dollars per million tokens, None where it is not known."""
        return self._usage.price

    @property
    def usage(self) -> Usage:
        """Requests, texts, tokens and dollars so far."""
        return self._usage.total

    @property
    def served_model(self) -> str | None:
        """The model's name in the server's replies, with its version where they say one; None before the first."""
        return self._served

    @property
    def lanes(self) -> int:
        """How many requests run at once."""
        return self._options.parallel

    @cached_property
    def max_tokens(self) -> int:
        """The longest text it reads whole: as given, known, or told by the server."""
        return self._model.max_tokens or self._told_limit() or _SHORTEST_LIMIT

    @cached_property
    def token_counting(self) -> TokenCounting | None:
        """How documents' tokens are counted where the model's tokenizer is on this machine; else None."""
        counting = tokenizer_on_this_machine(self._model.tokenizer)
        return None if counting is None else replace(counting, prompt=self._prompts["document"])

    @property
    def tokenizer_json(self) -> str | None:
        """The model's tokenizer where it is on this machine; else None."""
        counting = self.token_counting
        return None if counting is None else counting.tokenizer_json

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Each text's length in tokens with its prompt: exact where the tokenizer is here, else an upper estimate."""
        check_texts(texts)
        _require_role(role)
        if self.token_counting is None:
            return estimate_all(texts, self._prompts[role])
        return replace(self.token_counting, prompt=self._prompts[role]).counter()(texts)

    @cached_property
    def space(self) -> Space:
        """The space of its vectors. A model of unknown dimensions is asked once, for one short text."""
        full = self._full_space
        dim = self._dim or self._model.default_dim or full.dim
        check_dim(EncoderSettings(dim=dim), full.dim, self.name)
        return full.truncate(dim)

    @cached_property
    def _full_space(self) -> Space:
        provider, model = self.provider, self._client.model
        roles = {
            role: {"prompt": self._prompts[role], "api": self.provider.roles.get(role, "")} for role in sorted(_ROLES)
        }
        revision = {"revision": self._revision} if self._revision else {}
        ingredients = Ingredients(
            weights=digest_json({"provider": provider.name, "model": model, **revision}),
            architecture="provider",
            tokenizer="of the provider",
            pooling="of the provider",
            projection="of the provider",
            prompts={role: digest_json(setting) for role, setting in roles.items()},
            normalise=True,
            max_tokens=0,  # texts are never cut
            dim=self._model.dim or self._probed_dim(),
            similarity="cosine",
            precision="float",
        )
        return Space.of(ingredients, name=self.name)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """One row a text, in the order given. Raises InvalidInput for what is no text, is empty or over-long;

        ProviderFailed, ModelNotFound and SpaceMismatch where the server does not give its vectors.
        """
        check_texts(texts)
        _require_role(role)
        rows = np.empty((len(texts), self.space.dim), dtype=np.float32)
        for batch in self.encode_batches(texts, role=role):
            rows[batch.positions] = batch.vectors.data
        return Vectors(rows, self.space)

    def encode_batches(self, texts: Sequence[str], *, role: Role, may_send: MaySend = always) -> Iterator[EncodedBatch]:
        """Positions of texts with their vectors and cost, request by request as they are answered, in any order.

        Every position comes once. When a request fails for good, no further one is sent; all that were answered are
        given first, and then its error is raised. `may_send` is asked as `MaySend` says. An answer that was billed
        and cannot be used comes without positions. Raises as `encode` does; wrong texts before anything is sent.
        """
        check_texts(texts)
        _require_role(role)
        unique: dict[str, list[int]] = {}
        for at, text in enumerate(texts):
            unique.setdefault(text, []).append(at)
        distinct = list(unique)
        counts = self.count_tokens(distinct, role=role)
        self._check_texts(distinct, counts, unique)
        unusable: list[spent.Usage] = []

        def send(batch: range, stop: threading.Event) -> tuple[range, Vectors, spent.Usage]:
            tokens, counter = sum(counts[at] for at in batch), UsageCounter(self.price)
            try:
                vectors = self._request(
                    [distinct[at] for at in batch], role, tokens=tokens, stop=stop, counters=(self._usage, counter)
                )
            except GnomonError:
                unusable.append(counter.spent)
                raise
            return batch, vectors, counter.spent

        def may_go(batch: range | None) -> bool:
            return may_send(0, 0) if batch is None else may_send(len(batch), sum(counts[at] for at in batch))

        try:
            for batch, vectors, usage in as_answered(send, self._batches(counts), lanes=self.lanes, may_send=may_go):
                owners = [unique[distinct[at]] for at in batch]
                rows = np.repeat(np.arange(len(batch)), [len(places) for places in owners])
                positions = np.array([at for places in owners for at in places], dtype=np.int64)
                yield EncodedBatch(positions, vectors.take(rows), usage)
        except GnomonError:
            for usage in unusable:
                if usage.requests:
                    nothing = Vectors(np.zeros((0, self.space.dim), dtype=np.float32), self.space)
                    yield EncodedBatch(np.zeros(0, dtype=np.int64), nothing, usage)
            raise

    def count_requests(self, tokens: Sequence[int]) -> int:
        """The requests in which texts of so many tokens each are sent."""
        return sum(1 for _ in self._batches(tokens))

    @property
    def counts_exactly(self) -> bool:
        """Whether tokens are counted by the model's own tokenizer; else they are an estimate from above."""
        return self.token_counting is not None

    @property
    def requests_per_minute(self) -> float | None:
        """The server's limit, as its replies told it; None before."""
        return self._client.requests_per_minute

    @property
    def tokens_per_minute(self) -> float | None:
        """The server's limit, as its replies told it; None before."""
        return self._client.tokens_per_minute

    def close(self) -> None:
        """Ends requests that wait, and closes the connections."""
        self._client.close()

    def _check_texts(self, texts: Sequence[str], counts: Sequence[int], places: Mapping[str, list[int]]) -> None:
        for text, count in zip(texts, counts, strict=True):
            if not text:
                raise InvalidInput(
                    f"texts[{places[text][0]}] is empty: {self.name} gives no vector for nothing",
                    expected="texts with at least a character",
                    hint="leave empty texts out",
                )
            if count > self.max_tokens:
                about = "" if self.token_counting else "about "
                raise InvalidInput(
                    f"texts[{places[text][0]}] has {about}{count} tokens, {self.name} reads {self.max_tokens}",
                    expected=f"texts of at most {self.max_tokens} tokens, as `count_tokens` counts them",
                    hint="cut it into chunks; nothing was sent, and nothing is cut in silence",
                )

    def _batches(self, counts: Sequence[int]) -> Iterator[range]:
        items = min(self._options.batch_items, self._model.request_texts or self.provider.max_items)
        return request_batches(counts, items=items, tokens=self._most_tokens)

    def _request(
        self, texts: Sequence[str], role: Role, *, tokens: int, stop: threading.Event, counters: Sequence[UsageCounter]
    ) -> Vectors:
        dim = self.space.dim
        rows = self._rows(texts, role, tokens=tokens, dim=self._dim_to_ask(dim), stop=stop, counters=counters)
        expected = self._dim_to_ask(dim) or self._model.default_dim or self._full_space.dim
        if rows.shape[1] != expected:
            raise self._client.errors.malformed(f"vectors of {rows.shape[1]} dimensions, not {expected},", len(texts))
        rows = rows[:, :dim]
        usable = np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1)
        if not usable.all():
            what = f"{int((~usable).sum())} vectors that are zero, NaN or infinite"
            raise self._client.errors.malformed(what, len(texts))
        return Vectors(normalise(rows), self.space)

    def _rows(
        self,
        texts: Sequence[str],
        role: Role,
        *,
        tokens: int,
        dim: int | None,
        counters: Sequence[UsageCounter],
        stop: threading.Event | None = None,
    ) -> Float[np.ndarray, "texts dim"]:
        sent = [self._prompts[role] + text for text in texts]
        path, body = self.provider.embed.request(EmbeddingRequest(self._client.model, sent, role, dim))
        answer = self._client.post(path, body, tokens=tokens, stop=stop)
        try:
            reply = self.provider.embed.reply(answer, len(texts))
        except Malformed as error:
            for counter in counters:
                counter.add(texts=len(texts), tokens=None, estimate=tokens)  # it was answered, and so billed
            what = str(error)
        else:
            for counter in counters:
                counter.add(texts=len(texts), tokens=reply.tokens, estimate=tokens)
            self._require_same_model(reply.model)
            return reply.vectors
        raise self._client.errors.malformed(what, len(texts))

    def _require_same_model(self, model: str | None) -> None:
        if model is None:
            return
        with self._mutex:
            first = self._served = self._served or model
        if model != first:
            raise SpaceMismatch(
                f"{self._client.errors.where} answered as {self._client.errors.words(model)}, and before as "
                f"{self._client.errors.words(first)}",
                expected="one model behind one name",
                hint="name the version of the model that you want; nothing of this answer is used",
            )

    def _dim_to_ask(self, dim: int) -> int | None:
        """The smallest number of dimensions that the API gives and that is enough; None for what it gives unasked."""
        known = self._model
        if not self.provider.cuts_to_dim:
            return None
        size = next((size for size in known.dims if size >= dim), None)
        return None if size == known.default_dim else size

    def _probed_dim(self) -> int:
        count = self.count_tokens([_PROBE], role="document")[0]
        return int(self._rows([_PROBE], "document", tokens=count, dim=None, counters=(self._usage,)).shape[1])

    def _told_limit(self) -> int | None:
        """The longest text as vLLM and llama.cpp tell it in their list of models, or TEI on its page of itself."""
        if not self.provider.is_address:
            return None
        listed = self._client.page("/models")
        rows = listed.get("data") if isinstance(listed, dict) else None
        for row in rows if isinstance(rows, list) else ():
            meta = row.get("meta") if isinstance(row, dict) else None
            for told in (row.get("max_model_len"), meta.get("n_ctx") if isinstance(meta, dict) else None):
                if row.get("id") == self._client.model and isinstance(told, int) and told > 0:
                    return told
        info = self._client.page("/../info")
        told = info.get("max_input_length") if isinstance(info, dict) else None
        return told if isinstance(told, int) and told > 0 else None


def _require_role(role: str) -> None:
    if role not in _ROLES:
        raise InvalidInput(f"role {role!r}", expected=f"one of {', '.join(_ROLES)}")


def _require_remote(settings: EncoderSettings, model: str) -> None:
    if settings.precision == "int8" or settings.device not in ("auto", "cpu"):
        raise InvalidInput(
            f"precision {settings.precision!r} on {settings.device!r} for {model!r}, which runs at its provider",
            expected="neither device nor precision",
            hint="leave both out",
        )


def _require_encoder(provider: Provider, model: str, known: ProviderModel) -> None:
    if known.scores:
        raise InvalidInput(
            f"{model!r} of {provider.title} scores texts and makes no vectors",
            expected="a model that makes vectors",
            hint=f"gnomon.encode.load_scorer({f'{provider.name}:{model}'!r})",
        )
