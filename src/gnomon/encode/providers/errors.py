"""The errors of one provider: what failed, what was kept, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gnomon.core.errors import GnomonError, InvalidInput, ModelNotFound, ProviderFailed
from gnomon.core.servers import message_of, server_words
from gnomon.encode.providers.description import Provider
from gnomon.encode.providers.models import near_models

_BUDGET = re.compile(r"insufficient_quota|billing_hard_limit|insufficient[ _]balance|PerDay|calls? / month", re.I)
_NO_MODEL = re.compile(
    r"model_not_found|MODEL_NOT_FOUND|model\b.{0,80}\b(not found|not supported|does not exist)", re.I
)
_TOO_LONG = re.compile(
    r"maximum context length|context length|too many tokens|too long|must have less than|exceeds?\b.{0,60}tokens", re.I
)
_NOTHING_LOST = "the vectors of requests that were answered before are kept by who asked for them"


@dataclass(frozen=True)
class ProviderErrors:
    """Builds the errors of one model at one provider. The key is known here so that it is cut out of what is shown."""

    provider: Provider
    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_is_argument: bool = False

    @property
    def where(self) -> str:
        """The provider for people: its name, or the address of a server without one."""
        return self.url if self.provider.is_address else self.provider.title

    def words(self, body: object, longest: int = 300) -> str:
        """The words in an error's body, safe to show."""
        return server_words(message_of(body), key=self.key, longest=longest)

    def no_key(self) -> ProviderFailed:
        """There is no key to ask with."""
        return ProviderFailed(
            f"there is no key for {self.where}: {self.provider.key_variable} is not set",
            expected=f"a key of {self.where} in the environment",
            hint=f"export {self.provider.key_variable}=...",
        )

    def refused(self, status: int, body: object, *, wait_s: float | None, tries: int) -> GnomonError:
        """The server answered with an error that is not tried again, or was tried often enough."""
        words = self.words(body)
        answered = _joined(f"{self.where} answered with HTTP status {status}", words)
        if status in (401, 403) and not is_budget(status, body):
            return self._unauthorised(status, words)
        if is_budget(status, body):
            return ProviderFailed(
                _joined(f"the budget at {self.where} is used up: HTTP status {status}", words),
                expected="an account with money or a quota left",
                hint=f"see the account's plan and limits, and run the same again: {_NOTHING_LOST}",
            )
        if status == 404 or (status in (400, 422) and _NO_MODEL.search(words)):
            return self.unknown_model(words, ())
        if status in (408, 409, 429) or status >= 500:
            after = f" in {wait_s:.0f} s" if wait_s else " in a while"
            return ProviderFailed(
                f"{answered} (tried {tries} times)" if tries > 1 else answered,
                expected="an answer within the retries",
                hint=f"run the same again{after}: {_NOTHING_LOST}",
            )
        if _TOO_LONG.search(words):
            hint = "cut the texts into shorter chunks, or name the model's own limit as max_tokens"
            return InvalidInput(answered, expected="texts as long as the model reads", hint=hint)
        return InvalidInput(
            answered, expected=f"a request that {self.where} takes", hint="see what it says, and the model's name"
        )

    def unknown_model(self, words: str, listed: Sequence[str]) -> ModelNotFound:
        """The server has no such model, or no such page. `listed` are those that it says it has."""
        prefix = f"{self.url}#" if self.provider.is_address else f"{self.provider.name}:"
        near = near_models(prefix, self.model, listed)
        shown = ", ".join(server_words(item, key=self.key, longest=60) for item in list(listed)[:10])
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        elif self.provider.is_address:
            hint = "check the address (most end in /v1) and the model's name after the #"
        else:
            hint = f"see which models {self.where} lists"
        return ModelNotFound(
            _joined(f"{self.where} has no model {self.model!r}", words),
            expected=f"one of its models: {shown}" if shown else "a model that makes vectors or scores there",
            hint=hint,
        )

    def unreachable(self, cause: str, tries: int) -> ProviderFailed:
        """No connection, a broken one, or none in time."""
        words = server_words(cause, key=self.key, longest=160)
        return ProviderFailed(
            _joined(f"{self.where} cannot be reached at {self.url} (tried {tries} times)", words),
            expected="a connection to the server",
            hint="check the network, a proxy (HTTPS_PROXY) and the address; then run the same again: " + _NOTHING_LOST,
        )

    def unsent(self) -> ProviderFailed:
        """A request that was waiting for its turn when its caller wanted no more."""
        return ProviderFailed(
            f"a request to {self.where} was not sent: its rate limit left no room before it was to stop",
            expected="time to wait for a turn",
            hint=f"run the same again: {_NOTHING_LOST}",
        )

    def malformed(self, what: str, texts: int) -> ProviderFailed:
        """An answer that is not what was asked for: nothing of it is used."""
        return ProviderFailed(
            f"{self.where} gave {server_words(what, key=self.key)} for {self.model!r}: nothing of this answer, of "
            f"{texts} texts, is used",
            expected="one finite vector or score a text, all of the same size",
            hint=f"try again; if it stays so, the model or the server is broken ({_NOTHING_LOST})",
        )

    def _unauthorised(self, status: int, words: str) -> ProviderFailed:
        variable = self.provider.key_variable
        if self.key_is_argument:
            refused, hint = "the key that was given", "give a key that it takes"
        elif self.key:
            refused, hint = f"the key in {variable}", f"put a key that it takes in {variable}"
        else:
            refused, hint = f"no key ({variable} is not set)", f"put the server's key in {variable}"
        return ProviderFailed(
            _joined(f"{self.where} refused {refused}: HTTP status {status}", words),
            expected=f"a key with access to {self.model}",
            hint=hint,
        )


def is_budget(status: int, body: object) -> bool:
    """Whether an error says that money or a quota of a day or a month is used up, which no retry mends."""
    return status == 402 or (status in (403, 429) and _BUDGET.search(_flat(body)) is not None)


def _flat(body: object) -> str:
    if isinstance(body, Mapping):
        return " ".join(_flat(value) for value in body.values())
    return " ".join(_flat(item) for item in body) if isinstance(body, list) else str(body)


def _joined(text: str, words: str) -> str:
    return f"{text}: {words}" if words else text
