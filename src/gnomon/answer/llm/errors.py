"""The errors of a language model's endpoint: what failed, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gnomon.core.errors import GenerationFailed, PromptTooLong, ReplyTooLong
from gnomon.core.servers import message_of, server_words

KEY_VARIABLE = "OPENAI_API_KEY"
_OPTIONAL_PARAMETERS = ("max_tokens", "temperature")
_TOO_LONG = re.compile(  # as OpenAI, vLLM, llama.cpp, TensorRT-LLM and text-generation-inference say it
    r"context_length_exceeded|exceed_context_size|maximum context length|context length is only"
    r"|available context size|context (window|length|size) (is )?exceeded"
    r"|exceeds? (the )?(model's )?(maximum )?context|(prompt|input|request) is too long"
    r"|too many (input )?tokens|maximum input length|must be <= \d+\. Given"
    r"|reduce the length of the (messages|input|prompt)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class EndpointErrors:
    """Builds the errors of one endpoint. The key is known here so that it can be cut out of what is shown."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    key_is_argument: bool = False
    """The key was passed in, and is not the environment's."""

    def clean(self, text: str, longest: int = 300) -> str:
        """A server's words on one line, shortened, without tags, control characters and the key."""
        return server_words(text, key=self.key, longest=longest)

    def refused(self, status: int, body: object, headers: Mapping[str, str]) -> GenerationFailed:
        """The server answered with an error, as a status or within a reply (status 200)."""
        message = self.clean(message_of(body))
        if is_too_long(status, body):
            return PromptTooLong(
                _joined(f"the prompt is longer than {self.model} at {self.url} reads", message),
                expected="a prompt and room for the reply within the model's context",
                hint="allow fewer tokens of passages (budget_tokens), or start the server with a longer context",
            )
        if status in (401, 403):
            return self._unauthorized(status, message)
        answered = _joined(f"{self.url} answered with {_status(status)}", message)
        if status == 429 and _code(body) == "insufficient_quota":
            return GenerationFailed(answered, hint="see the account's plan and limits")
        if status in (200, 408, 409, 429) or status >= 500:
            wait = self.clean(headers.get("retry-after", ""), 60)
            hint = "try again in a while, or see the server's log"
            return GenerationFailed(answered, hint=f"{hint} (Retry-After: {wait})" if wait else hint)
        return GenerationFailed(answered, hint="see what this server accepts; its log may say more")

    def unknown_model(self, body: object, models: Sequence[str] | None) -> GenerationFailed:
        """Status 404: no such model or page. `models` are those that the server lists, None if it lists none."""
        message = self.clean(message_of(body))
        answered = _joined(f"{self.url} answered with {_status(404)}", message)
        if models is None:
            return GenerationFailed(
                answered,
                expected="the address of an OpenAI-compatible server, and a model that it has",
                hint="check the address (most end in /v1) and the model's name",
            )
        if self.model in models:
            return GenerationFailed(answered, hint="the server lists the model: see its log")
        shown = ", ".join(self.clean(name, 60) for name in models[:10])
        more = f" and {len(models) - 10} more" if len(models) > 10 else ""
        return GenerationFailed(
            _joined(f"{self.url} has no model {self.model!r}", message),
            expected=f"one of its models: {shown}{more}" if models else "a model that it has",
            hint="name one of them" if models else "load a model first, such as `ollama pull NAME`",
        )

    def unreachable(self, cause: str) -> GenerationFailed:
        """No connection came about."""
        return GenerationFailed(
            f"no language model answers at {self.url}: {self.clean(cause, 160) or 'no connection'}",
            expected="a running OpenAI-compatible server",
            hint="start one, such as `ollama serve` or `llama-server -m FILE`, or check the address",
        )

    def timed_out(self, what: str, seconds: float) -> GenerationFailed:
        """A time-out. It is not retried: a server that is too slow gets no faster by more requests."""
        return GenerationFailed(
            f"{self.url} {what} {seconds:g} seconds",
            hint="try again when the model is loaded, allow more time, or use a smaller model",
        )

    def interrupted(self, cause: str, *, has_text: bool) -> GenerationFailed:
        """The stream ended too early."""
        when = "in the middle of its reply" if has_text else "before its reply"
        reason = f" ({self.clean(cause, 160)})" if cause else ""
        return GenerationFailed(
            f"{self.url} broke off {when}{reason}",
            expected="a reply with its end",
            hint="try again; if it happens again, see the server's log",
        )

    def malformed(self, what: str) -> GenerationFailed:
        """The response is no chat completion."""
        return GenerationFailed(
            f"{self.url} sent {self.clean(what, 200)}",
            expected="a reply of the OpenAI chat protocol",
            hint="check that the address is an OpenAI-compatible server's (most end in /v1)",
        )

    def unfinished(self, finish_reason: str, max_tokens: int, *, has_text: bool) -> GenerationFailed | None:
        """The error of a reply that did not end by itself; None where all is well."""
        reason = finish_reason.lower()
        if reason in ("length", "max_tokens"):
            came = "stopped in the middle of a sentence" if has_text else "wrote no text before it stopped"
            return ReplyTooLong(
                f"{self.model} {came}: {max_tokens} tokens were used up",
                expected="a whole reply",
                hint="allow more tokens (max_tokens)" + ("" if has_text else "; a model that thinks first needs many"),
            )
        if reason == "content_filter":
            return GenerationFailed(
                f"{self.url} withheld the reply, or its rest: its content filter stopped {self.model}",
                hint="ask in other words, or use another model",
            )
        if reason in ("error", "abort", "insufficient_system_resource"):
            return self.interrupted(f"finish_reason {reason}", has_text=has_text)
        if not has_text:
            return GenerationFailed(
                f"{self.model} at {self.url} wrote nothing (finish_reason {self.clean(reason, 40)})",
                expected="some text",
                hint="try again, or use another model",
            )
        return None

    def _unauthorized(self, status: int, message: str) -> GenerationFailed:
        if self.key_is_argument:
            refused, hint = "the key that was given", "give a key that this server takes"
        elif self.key:
            refused, hint = f"the key in {KEY_VARIABLE}", f"put a key that this server takes in {KEY_VARIABLE}"
        else:
            refused, hint = f"no key ({KEY_VARIABLE} is not set)", f"put the server's key in {KEY_VARIABLE}"
        return GenerationFailed(
            _joined(f"{self.url} refused {refused}: {_status(status)}", message),
            expected=f"a key with access to {self.model}",
            hint=hint,
        )


def refused_parameter(status: int, body: object) -> str | None:
    """Which optional parameter this model refused, if that is what the error says."""
    if status not in (400, 422) or is_too_long(status, body):
        return None
    message = message_of(body).lower()
    if "max_completion_tokens" in message:
        return "max_tokens"
    if any(words in message for words in ("unsupported", "not supported", "does not support")):
        named = str(_get(body, "param") or "")
        return next((name for name in _OPTIONAL_PARAMETERS if name == named or f"'{name}'" in message), None)
    return None


def is_too_long(status: int, body: object) -> bool:
    """Whether the error says that the prompt is longer than the model's context."""
    if status == 413:
        return True
    words = " ".join((_code(body), str(_get(body, "type") or ""), message_of(body)))
    return status in (200, 400, 422, 500) and _TOO_LONG.search(words) is not None


def _joined(text: str, message: str) -> str:
    return f"{text}: {message}" if message else text


def _code(body: object) -> str:
    return str(_get(body, "code") or "")


def _get(body: object, key: str) -> object:
    return body.get(key) if isinstance(body, Mapping) else None


def _status(status: int) -> str:
    return "an error" if status == 200 else f"HTTP status {status}"
