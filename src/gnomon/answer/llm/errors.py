"""What can go wrong at a language model's endpoint, in words: what failed and what to do."""

from __future__ import annotations

import email.utils
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gnomon.core.errors import GenerationFailed, PromptTooLong, ReplyTooLong

LONGEST_WAIT_S = 20.0
"""A server that asks to wait for longer is not asked again."""
KEY_VARIABLE = "OPENAI_API_KEY"
_AGAIN = frozenset({408, 409, 425, 429})
_OPTIONAL = ("max_tokens", "temperature")
_TOO_LONG = re.compile(  # as OpenAI, vLLM, llama.cpp, TensorRT-LLM and text-generation-inference say it
    r"context_length_exceeded|exceed_context_size|maximum context length|context length is only"
    r"|available context size|context (window|length|size) (is )?exceeded"
    r"|exceeds? (the )?(model's )?(maximum )?context|(prompt|input|request) is too long"
    r"|too many (input )?tokens|maximum input length|must be <= \d+\. Given"
    r"|reduce the length of the (messages|input|prompt)",
    re.IGNORECASE,
)
_TAGS = re.compile(r"<[^<>]{0,200}>")


class Trouble(Exception):
    """A request that failed; `again` where a second try may help, after `wait_s` if the server said so."""

    def __init__(self, error: GenerationFailed, *, again: bool = False, wait_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.again, self.wait_s = error, again, wait_s


@dataclass(frozen=True)
class Place:
    """Which endpoint is spoken of. The key is there to be taken out of what is shown."""

    url: str
    model: str
    key: str | None = field(default=None, repr=False)
    given: bool = False
    """The key was handed in, and is not the environment's."""

    def clean(self, text: str, longest: int = 300) -> str:
        """A server's words on one line, shortened, without tags, control characters and the key."""
        if self.key:
            text = text.replace(self.key, "[key]")
        text = "".join(c if c.isprintable() else " " for c in _TAGS.sub(" ", text))
        line = " ".join(text.split())
        return line if len(line) <= longest else line[: longest - 1] + "…"


def refused(place: Place, status: int, body: object, headers: Mapping[str, str]) -> Trouble:
    """The server answered with an error, as a status or within a reply (status 200)."""
    said = place.clean(message_of(body))
    if _is_too_long(status, body):
        return Trouble(_too_long(place, said))
    if status in (401, 403):
        return Trouble(_not_let_in(place, status, said))
    came = f"{place.url} answered with {_status(status)}" + (f": {said}" if said else "")
    if status == 429 and _code(body) == "insufficient_quota":
        return Trouble(GenerationFailed(came, hint="see the account's plan and limits"))
    if status in _AGAIN or status >= 500 or status == 200:
        wait = _retry_after(headers)
        if wait is not None and wait > LONGEST_WAIT_S:
            return Trouble(GenerationFailed(came, hint=f"try again in {math.ceil(wait)} seconds"))
        hint = "try again in a while, or see what the server's own log says"
        return Trouble(GenerationFailed(came, hint=hint), again=True, wait_s=wait)
    return Trouble(GenerationFailed(came, hint="see what this server takes; its log may say more"))


def unknown_model(place: Place, body: object, models: Sequence[str] | None) -> Trouble:
    """Status 404: the model or the page is not there. `models` are what the server lists, None if nothing."""
    said = place.clean(message_of(body))
    came = f"{place.url} answered with {_status(404)}" + (f": {said}" if said else "")
    if models is None:
        error = GenerationFailed(
            came,
            expected="the address of an OpenAI-compatible server, and a model that it has",
            hint="check the address (most end in /v1) and the model's name",
        )
    elif place.model in models:
        error = GenerationFailed(came, hint="the server lists the model: see its log")
    else:
        shown = [place.clean(name, 60) for name in models[:10]]
        more = f" and {len(models) - 10} more" if len(models) > 10 else ""
        error = GenerationFailed(
            f"{place.url} has no model {place.model!r}" + (f": {said}" if said else ""),
            expected=f"one of its models: {', '.join(shown)}{more}" if models else "a model that it has",
            hint="name one of them" if models else "load a model first, such as `ollama pull NAME`",
        )
    return Trouble(error)


def down(place: Place, cause: str) -> Trouble:
    """No connection came about."""
    return Trouble(
        GenerationFailed(
            f"no language model answers at {place.url}: {place.clean(cause, 160) or 'no connection'}",
            expected="a running OpenAI-compatible server",
            hint="start one, such as `ollama serve` or `llama-server -m FILE`, or check the address",
        ),
        again=True,
    )


def slow(place: Place, what: str, seconds: float) -> Trouble:
    """A time-out. It is not asked again: a server that is too slow does not get faster by more requests."""
    return Trouble(
        GenerationFailed(
            f"{place.url} {what} {seconds:g} seconds",
            hint="try again when the model is loaded, allow more time, or use a smaller model",
        )
    )


def broken(place: Place, cause: str, *, begun: bool) -> Trouble:
    """The connection ended too early."""
    when = "in the middle of its reply" if begun else "before its reply"
    told = f" ({place.clean(cause, 160)})" if cause else ""
    return Trouble(
        GenerationFailed(
            f"{place.url} broke off {when}{told}",
            expected="a reply with its end",
            hint="try again; if it happens again, see the server's log",
        ),
        again=True,
    )


def rubbish(place: Place, what: str) -> Trouble:
    """What came is no chat."""
    return Trouble(
        GenerationFailed(
            f"{place.url} sent {place.clean(what, 200)}",
            expected="a reply of the OpenAI chat protocol",
            hint="check that the address is an OpenAI-compatible server's (most end in /v1)",
        )
    )


def unfinished(place: Place, finish: str | None, max_tokens: int, *, begun: bool) -> GenerationFailed | None:
    """The error of a reply that has an end, but not one of its own; None where all is well."""
    reason = (finish or "stop").lower()
    if reason in ("length", "max_tokens"):
        came = "stopped in the middle of a sentence" if begun else "wrote no text before it stopped"
        return ReplyTooLong(
            f"{place.model} {came}: {max_tokens} tokens were used up",
            expected="a whole reply",
            hint="allow more tokens (max_tokens)" + ("" if begun else "; a model that thinks first needs many"),
        )
    if reason == "content_filter":
        return GenerationFailed(
            f"{place.url} withheld the reply, or its rest: its content filter stopped {place.model}",
            hint="ask in other words, or use another model",
        )
    if reason in ("error", "abort", "insufficient_system_resource"):
        return broken(place, f"finish_reason {reason}", begun=begun).error
    if not begun:
        return GenerationFailed(
            f"{place.model} at {place.url} wrote nothing (finish_reason {place.clean(reason, 40)})",
            expected="some text",
            hint="try again, or use another model",
        )
    return None


def refused_parameter(status: int, body: object) -> str | None:
    """Which of the parameters that some models do not take this one refused."""
    if status not in (400, 422) or _is_too_long(status, body):
        return None
    said = message_of(body).lower()
    named = str(_get(body, "param") or "")
    if "max_completion_tokens" in said:
        return "max_tokens"
    if "unsupported" in said or "not supported" in said or "does not support" in said:
        return next((name for name in _OPTIONAL if name == named or f"'{name}'" in said), None)
    return None


def message_of(body: object) -> str:
    """The words in an error's body, whatever its form."""
    for key in ("message", "error", "detail"):
        inner = _get(body, key)
        if isinstance(inner, Mapping):
            return message_of(inner)
        if inner:
            return str(inner)
    return body if isinstance(body, str) else ""


def _not_let_in(place: Place, status: int, said: str) -> GenerationFailed:
    if place.given:
        came, hint = "the key that was given", "give a key that this server takes"
    elif place.key:
        came, hint = f"the key in {KEY_VARIABLE}", f"put a key that this server takes in {KEY_VARIABLE}"
    else:
        came, hint = f"no key ({KEY_VARIABLE} is not set)", f"put the server's key in {KEY_VARIABLE}"
    return GenerationFailed(
        f"{place.url} refused {came}: {_status(status)}" + (f": {said}" if said else ""),
        expected=f"a key with access to {place.model}",
        hint=hint,
    )


def _too_long(place: Place, said: str) -> PromptTooLong:
    return PromptTooLong(
        f"the prompt is longer than {place.model} at {place.url} reads" + (f": {said}" if said else ""),
        expected="a prompt and room for the reply within the model's context",
        hint="allow fewer tokens of passages (budget_tokens), or start the server with a longer context",
    )


def _is_too_long(status: int, body: object) -> bool:
    if status == 413:
        return True
    told = " ".join((_code(body), str(_get(body, "type") or ""), message_of(body)))
    return status in (200, 400, 422, 500) and _TOO_LONG.search(told) is not None


def _code(body: object) -> str:
    return str(_get(body, "code") or "")


def _get(body: object, key: str) -> object:
    return body.get(key) if isinstance(body, Mapping) else None


def _status(status: int) -> str:
    return "an error" if status == 200 else f"HTTP status {status}"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number or a date (RFC 9110, 10.2.3)."""
    told = headers.get("retry-after", "")
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(told).timestamp() - time.time()
        except (TypeError, ValueError, OverflowError):
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
