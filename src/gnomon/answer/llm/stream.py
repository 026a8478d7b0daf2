"""The bytes of a chat's reply to pieces of text: a stream of events, or one body."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from typing import Any

LONGEST_LINE = 4 * 1024 * 1024
"""Bytes without a line's end that are still read: a whole reply in one body is far below."""
_FIELDS = ("data:", "event:", "id:", "retry:", ":")
_OPENS, _CLOSES = "<think>", "</think>"


class BadReply(Exception):
    """What came is no reply of a chat; the text says what it is."""


class ErrorReply(Exception):
    """The server sent an error in place of a reply, or after the reply's beginning."""

    def __init__(self, body: object) -> None:
        super().__init__("an error in the reply")
        self.body = body


class BrokenOff(Exception):
    """The reply ended with no reason to finish and no [DONE]."""


def pieces(blocks: Iterable[bytes], kind: str) -> Generator[str, None, str | None]:
    """The text of a reply as it comes; returns the reason to finish, None where only [DONE] was said.

    `blocks` are the body's bytes and `kind` its content type: a server that streams nothing sends one JSON
    body. What the model writes between <think> and </think> before its reply is left out.
    Raises BadReply, ErrorReply and BrokenOff.
    """
    return (yield from _spoken(_written(_lines(blocks), kind)))


def _lines(blocks: Iterable[bytes]) -> Iterator[str]:
    # Split at "\n" alone: str.splitlines would also cut at characters that JSON may hold (U+2028).
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > LONGEST_LINE:
            raise BadReply(f"more than {LONGEST_LINE} bytes without a line's end")
        for line in whole:
            yield line.rstrip(b"\r").decode("utf-8", "replace")
    if rest:
        yield rest.decode("utf-8", "replace")


def _written(lines: Iterator[str], kind: str) -> Generator[str, None, str | None]:
    first = next((line for line in lines if line.strip("\ufeff \t")), "").lstrip("\ufeff")
    if not first:
        raise BadReply("an empty body")
    if first.startswith(_FIELDS):
        return (yield from _events(first, lines))
    if "json" not in kind and not first.lstrip().startswith("{"):
        raise BadReply(f"{kind or 'a body of no type'} that begins {_shown(first)}")
    text, finish, known = _choice(_parsed(_whole(first, lines)), "message")
    if not known:
        raise BadReply("JSON without choices")
    if text:
        yield text
    return finish or "stop"


def _whole(first: str, lines: Iterator[str]) -> str:
    parts, size = [first], len(first)
    for line in lines:
        parts.append(line)
        size += len(line)
        if size > LONGEST_LINE:
            raise BadReply(f"a body of more than {LONGEST_LINE} characters")
    return "\n".join(parts)


def _events(first: str, lines: Iterator[str]) -> Generator[str, None, str | None]:
    finish, known = None, False
    line: str | None = first
    while line is not None:  # ends with the lines
        # One line is one event: the JSON has no line breaks, and some servers forget the empty line.
        name, _, data = line.partition(":")
        data = data.strip()
        if name == "data" and data.startswith("[DONE]"):
            if not known:
                raise BadReply("a stream without choices")
            return finish
        if name == "data" and data:
            text, ended, had = _choice(_parsed(data), "delta")
            finish, known = ended or finish, known or had
            if text:
                yield text
        line = next(lines, None)
    if not known:
        raise BadReply("a stream without choices")
    if finish is None:
        raise BrokenOff
    return finish


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadReply(f"what is no JSON: {_shown(text)}") from None


def _choice(data: Any, key: str) -> tuple[str, str | None, bool]:
    """The text, the reason to finish, and whether there was a choice: an event may hold other things."""
    if not isinstance(data, dict):
        raise BadReply(f"JSON that is no object: {_shown(str(data))}")
    if data.get("error"):
        raise ErrorReply(data["error"])
    choices = data.get("choices")
    if not choices:
        return "", None, False
    choice = choices[0] if isinstance(choices, list) else None
    if not isinstance(choice, dict):
        raise BadReply(f"choices that are none: {_shown(str(choices))}")
    said = choice.get(key) or choice.get("message") or choice.get("delta") or {}
    finish = choice.get("finish_reason")
    if not isinstance(said, dict) or not isinstance(finish, str | None):
        raise BadReply(f"a choice of another form: {_shown(str(choice))}")
    return _text(said.get("content")), finish, True


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):  # in parts, of which some are thoughts
        return "".join(_text(part.get("text")) for part in content if isinstance(part, dict))
    raise BadReply(f"a text that is none: {_shown(str(content))}")


def _spoken(written: Generator[str, None, str | None]) -> Generator[str, None, str | None]:
    held, finish = "", None
    begun = thinking = ended = False
    while not ended:  # one piece a round, until there are no more
        try:
            held += next(written)
        except StopIteration as stop:
            finish, ended = stop.value, True
        if not begun:
            held = held.lstrip()
            thinking = thinking or held.startswith(_OPENS)
        if thinking:
            _, closed, after = held.partition(_CLOSES)
            thinking = not closed
            held = held[-len(_CLOSES) :] if thinking else after.lstrip()
        elif held and (begun or ended or not _OPENS.startswith(held)):
            yield held
            held, begun = "", True
    return finish


def _shown(text: str, longest: int = 80) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return repr(line if len(line) <= longest else line[: longest - 1] + "…")
