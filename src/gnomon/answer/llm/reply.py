"""The text of a chat completion as it arrives: the SDK's events, or one body from a server that does not stream."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import openai


MAX_BODY_BYTES = 4 * 1024 * 1024
"""A reply in one body is read up to this size; real ones are far below."""
_THINK_START, _THINK_END = "<think>", "</think>"


class MalformedReply(Exception):
    """The response is no chat completion; the text says what it is."""


class ReplyTimeout(Exception):
    """The whole reply took too long."""


class ChatReply:
    """Iterates over a reply's text; afterwards `finish_reason` is the model's, None for a stream that broke off.

    What the model writes between <think> and </think> before its reply is left out. Raises MalformedReply,
    ReplyTimeout after `total_s` seconds, openai.APIError for an error in place of a reply or in its middle,
    and openai.APIConnectionError.
    """

    def __init__(self, stream: openai.Stream[object], total_s: float) -> None:
        self._stream, self._deadline = stream, time.monotonic() + total_s
        self.finish_reason: str | None = None
        self.has_text = False

    def __iter__(self) -> Iterator[str]:
        for text in _without_thoughts(self._texts()):
            self.has_text = self.has_text or bool(text.strip())
            yield text

    def _texts(self) -> Iterator[str]:
        streamed = "event-stream" in self._stream.response.headers.get("content-type", "").lower()
        has_choices = False
        try:
            for data in self._stream if streamed else [self._body()]:
                self._check_deadline()
                text, finish_reason, has_choice = self._read_choice(data)
                has_choices = has_choices or has_choice
                self.finish_reason = finish_reason or self.finish_reason
                if text:
                    yield text
        except (ValueError, RecursionError) as error:
            raise MalformedReply(f"what is no JSON: {_shown(getattr(error, 'doc', str(error)))}") from None
        if not has_choices:
            raise MalformedReply("a stream without choices" if streamed else "JSON without choices")
        if not streamed:
            self.finish_reason = self.finish_reason or "stop"

    def _body(self) -> object:
        import httpx2
        import openai

        response, content = self._stream.response, b""
        try:
            for block in response.iter_bytes():
                self._check_deadline()
                content += block
                if len(content) > MAX_BODY_BYTES:
                    raise MalformedReply(f"a body of more than {MAX_BODY_BYTES} bytes")
        except httpx2.TimeoutException as error:
            raise openai.APITimeoutError(response.request) from error
        except httpx2.RequestError as error:
            raise openai.APIConnectionError(request=response.request) from error
        text = content.decode("utf-8", "replace").strip("\ufeff \t\r\n")
        if not text:
            raise MalformedReply("an empty body")
        kind = response.headers.get("content-type", "").lower()
        if "json" not in kind and not text.startswith("{"):
            raise MalformedReply(f"{kind or 'a body of no type'} that begins {_shown(text)}")
        return json.loads(text)

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise ReplyTimeout

    def _read_choice(self, data: Any) -> tuple[str, str | None, bool]:
        """The text, the finish reason, and whether there is a choice: events may hold other things."""
        import openai

        if not isinstance(data, dict):
            raise MalformedReply(f"JSON that is no object: {_shown(json.dumps(data))}")
        if data.get("error"):
            raise openai.APIError("an error in the reply", self._stream.response.request, body=data["error"])
        choices = data.get("choices")
        if not choices:
            return "", None, False
        choice = choices[0] if isinstance(choices, list) else None
        if not isinstance(choice, dict):
            raise MalformedReply(f"choices that are none: {_shown(str(choices))}")
        message = choice.get("delta") or choice.get("message") or {}
        finish_reason = choice.get("finish_reason")
        if not isinstance(message, dict) or not isinstance(finish_reason, str | None):
            raise MalformedReply(f"a choice of another form: {_shown(str(choice))}")
        return _text(message.get("content")), finish_reason, True


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):  # in parts, of which some are thoughts
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    raise MalformedReply(f"a text that is none: {_shown(str(content))}")


def _without_thoughts(pieces: Iterator[str]) -> Iterator[str]:
    """The text without a <think> block at its start; tags may be split between pieces."""
    held, started, thinking = "", False, False
    for piece in pieces:
        held += piece
        if not started:
            held = held.lstrip()
            thinking = thinking or held.startswith(_THINK_START)
        if thinking:
            _, closed, after = held.partition(_THINK_END)
            thinking = not closed
            held = held[-len(_THINK_END) :] if thinking else after.lstrip()
        elif held and (started or not _THINK_START.startswith(held)):
            yield held
            held, started = "", True
    if held and not thinking:
        yield held


def _shown(text: str, longest: int = 80) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(line if len(line) <= longest else line[: longest - 1] + "…")
