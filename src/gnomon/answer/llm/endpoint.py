"""A language model behind any OpenAI-compatible address: Ollama, vLLM, llama.cpp, OpenAI."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import random
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from gnomon.answer.llm import errors
from gnomon.answer.llm.errors import KEY_VARIABLE, Place, Trouble
from gnomon.answer.llm.stream import BadReply, BrokenOff, ErrorReply, pieces
from gnomon.answer.types import Message
from gnomon.core.errors import GenerationFailed, InvalidInput

if TYPE_CHECKING:
    import openai


CONNECT_S = 10.0
"""A connection that takes longer is given up."""
TOTAL_TIMES = 10
"""A whole reply may take this many times the longest silence."""
FIRST_WAIT_S = 0.5
"""Before the second try; twice as long before each further one, up to what a server may ask for."""
_OTHER_NAMES = {"max_tokens": "max_completion_tokens"}
_NO_KEY = "none"


class Endpoint:
    """An OpenAI-compatible server and one of its models: keeps `ChatModel`. Threads may share it.

    `url` is the server's base address. One without a path gets /v1, as all servers have it
    ("http://localhost:11434" is "http://localhost:11434/v1"); any other path is taken as it is. The key is
    `key`, else the environment's OPENAI_API_KEY; servers that need none get a placeholder. `timeout_s` is
    the longest silence, before the first piece and between pieces; a reply may take ten times that in all.
    `retries` more tries follow, before the first piece and never after, where the server cannot be reached,
    breaks off, or answers 429 or 5xx. The environment's proxies are not used for this machine's own
    addresses. Raises InvalidInput for an address, a name or a number that cannot be, and without openai.
    """

    def __init__(
        self, url: str, model: str, *, key: str | None = None, timeout_s: float = 60.0, retries: int = 2
    ) -> None:
        if not model.strip():
            raise InvalidInput("a model without a name", expected="the name by which the server knows the model")
        if not 0 < timeout_s < float("inf"):
            raise InvalidInput(f"timeout_s = {timeout_s}", expected="more than 0 seconds")
        if not 0 <= retries <= 10:
            raise InvalidInput(f"retries = {retries}", expected="0 to 10")
        if importlib.util.find_spec("openai") is None:
            raise InvalidInput(
                "the package openai is not installed",
                expected="it, to ask a language model",
                hint="pip install gnomon[answer]",
            )
        found = key if key is not None else os.environ.get(KEY_VARIABLE)
        self._place = Place(base_url(url), model, _checked_key(found), given=key is not None)
        self._timeout_s, self._retries = timeout_s, retries
        self._unknown: frozenset[str] = frozenset()
        self._client: openai.OpenAI | None = None
        self._mutex = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._place.model

    @property
    def url(self) -> str:
        """The base address that is asked."""
        return self._place.url

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.name!r})"

    def close(self) -> None:
        """Give back the connections."""
        with self._mutex:
            if self._client is not None:
                self._client.close()
            self._client = None

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0
    ) -> Generator[str, None, None]:
        """The reply's text piece by piece; closing the generator closes the connection.

        Raises GenerationFailed, before the first piece or after any: also at the end of a reply that stopped
        because `max_tokens` were used up, or that a content filter stopped. What came before is the model's,
        but its last sentence is not whole. Raises PromptTooLong where the server says so.
        """
        for turn in range(self._retries + 1):
            begun = False
            try:
                with closing(self._reply(messages, max_tokens, temperature)) as reply:
                    for piece in reply:
                        begun = True
                        yield piece
                return
            except Trouble as failure:
                if begun or not failure.again or turn == self._retries:
                    raise failure.error from None
                wait = FIRST_WAIT_S * 2**turn * random.uniform(0.75, 1)
                wait = failure.wait_s if failure.wait_s is not None else wait
            time.sleep(min(wait, errors.LONGEST_WAIT_S))

    def _reply(self, messages: Sequence[Message], max_tokens: int, temperature: float) -> Generator[str, None, None]:
        import openai

        asked = [{"role": message.role, "content": _encodable(message.content)} for message in messages]
        for _ in range(3):  # each parameter that a model may refuse, and once more
            chosen = self._parameters(max_tokens=max_tokens, temperature=temperature)
            create = self._opened().chat.completions.with_streaming_response.create
            try:
                with create(model=self.name, messages=asked, stream=True, **chosen) as response:
                    yield from self._read(response, max_tokens)
                return
            except openai.APIStatusError as error:
                unknown = errors.refused_parameter(error.status_code, error.body)
                if unknown is None or unknown in self._unknown:
                    raise self._status(error) from None
                self._unknown |= {unknown}  # the next request does without
            except openai.APITimeoutError as error:
                raise self._timed_out(error.__cause__) from None
            except openai.APIConnectionError as error:
                raise self._not_reached(error.__cause__) from None

    def _read(self, response: Any, max_tokens: int) -> Generator[str, None, None]:
        import httpx2

        begun = False
        kind = response.headers.get("content-type", "").lower()
        try:
            reply = pieces(self._bounded(response.iter_bytes()), kind)
            for piece in (ended := _Ended(reply)):
                begun = begun or bool(piece.strip())
                yield piece
        except BadReply as error:
            raise errors.rubbish(self._place, str(error)) from None
        except ErrorReply as error:
            raise errors.refused(self._place, 200, error.body, {}) from None
        except BrokenOff:
            raise errors.broken(self._place, "", begun=begun) from None
        except httpx2.TimeoutException as error:
            raise self._timed_out(error) from None
        except httpx2.RequestError as error:
            raise errors.broken(self._place, str(error), begun=begun) from None
        failure = errors.unfinished(self._place, ended.finish, max_tokens, begun=begun)
        if failure is not None:
            raise Trouble(failure)

    def _bounded(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        longest = TOTAL_TIMES * self._timeout_s
        until = time.monotonic() + longest
        for block in blocks:
            if time.monotonic() > until:
                raise errors.slow(self._place, "did not end its reply within", longest)
            yield block

    def _parameters(self, **given: float) -> dict[str, float]:
        """A request's numbers, without those that this model does not know; some have a second name."""
        known = {name: value for name, value in given.items() if name not in self._unknown}
        other = {_OTHER_NAMES[name]: given[name] for name in self._unknown if name in _OTHER_NAMES}
        return known | other

    def _status(self, error: openai.APIStatusError) -> Trouble:
        code = getattr(error, "code", None)
        if error.status_code == 404 or code == "model_not_found":
            return errors.unknown_model(self._place, error.body, self._models())
        return errors.refused(self._place, error.status_code, error.body, error.response.headers)

    def _models(self) -> list[str] | None:
        """The names of the models that the server lists, None where it lists none."""
        import openai

        try:
            told = self._opened().models.with_raw_response.list(timeout=min(5.0, self._timeout_s))
            rows = told.http_response.json()["data"]
            return [str(row["id"]) for row in rows]
        except (openai.OpenAIError, ValueError, KeyError, TypeError):
            return None

    def _timed_out(self, cause: BaseException | None) -> Trouble:
        import httpx2

        if isinstance(cause, httpx2.ConnectTimeout):
            return errors.slow(self._place, "took no connection for", min(CONNECT_S, self._timeout_s))
        return errors.slow(self._place, "sent nothing for", self._timeout_s)

    def _not_reached(self, cause: BaseException | None) -> Trouble:
        import httpx2

        if cause is None or isinstance(cause, httpx2.ConnectError | httpx2.ProxyError):
            return errors.down(self._place, str(cause or ""))
        return errors.broken(self._place, str(cause), begun=False)

    def _opened(self) -> openai.OpenAI:
        import openai

        with self._mutex:
            if self._client is None:
                limit = openai.Timeout(self._timeout_s, connect=min(CONNECT_S, self._timeout_s))
                self._client = openai.OpenAI(
                    base_url=self.url,
                    api_key=self._place.key or _NO_KEY,
                    timeout=limit,
                    max_retries=0,  # its own would go on after errors that no second try mends
                    http_client=openai.DefaultHttpxClient(trust_env=not is_loopback(self.url), timeout=limit),
                )
            return self._client


class _Ended:
    """The pieces of a reply, and then the reason why it ended."""

    def __init__(self, reply: Generator[str, None, str | None]) -> None:
        self._reply = reply
        self.finish: str | None = None

    def __iter__(self) -> Iterator[str]:
        self.finish = yield from self._reply


def base_url(url: str) -> str:
    """A server's base address as it is asked: without a slash at the end, with /v1 where it has no path.

    The address of the chat itself is taken back to its base. Raises InvalidInput for what is no address,
    and for one with a user, a password, a query or a fragment: keys belong in the environment.

    >>> base_url("http://localhost:11434"), base_url("https://host/api/v1/")
    ('http://localhost:11434/v1', 'https://host/api/v1')
    """
    try:
        parts = urlsplit(url.strip())
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or parts.scheme not in ("http", "https"):
        raise InvalidInput(
            f"{url!r} as the address of a language model",
            expected="http://HOST:PORT/v1 or https://HOST/v1",
            hint="Ollama's is http://localhost:11434, that of llama.cpp http://localhost:8080",
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidInput(
            "an address of a language model with a user, a query or a fragment",
            expected="http://HOST:PORT/v1 alone",
            hint=f"put the key in {KEY_VARIABLE}",
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", "", ""))


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _checked_key(key: str | None) -> str | None:
    key = (key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise InvalidInput("a key with characters that no key has", expected=f"the key alone in {KEY_VARIABLE}")
    return key or None


def _encodable(text: str) -> str:
    """Halves of characters, as a terminal may hand them in, cannot be sent."""
    return text.encode("utf-8", "replace").decode("utf-8")


TIMEOUT_S = 10.0
_SHOWN = 20


def only_model(url: str) -> str:
    """The name of the one model that the server at an address has: what to ask where none was named.

    Raises InvalidInput where it has several, which are listed, or none; GenerationFailed where it does not
    say.
    """
    names = models(url)
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    raise InvalidInput(
        f"no model is named, and {base_url(url)} has {len(names) or 'none'}",
        expected=f"the name of one of its models: {shown}" if names else "a server that has a model",
        hint=f"--llm-model {names[0]}" if names else "load a model first, such as `ollama pull NAME`",
    )


def models(url: str, *, timeout_s: float = TIMEOUT_S) -> tuple[str, ...]:
    """The names of a server's models, as it lists them. The key is the environment's OPENAI_API_KEY."""
    import httpx2

    address = f"{base_url(url)}/models"
    key = os.environ.get(KEY_VARIABLE, "").strip()
    headers = {"Authorization": f"Bearer {key}"} if key.isascii() and key else {}
    try:
        with httpx2.Client(trust_env=not is_loopback(address), timeout=timeout_s) as client:
            told = client.get(address, headers=headers)
            told.raise_for_status()
            rows = told.json()["data"]
            names = [str(row["id"]) for row in rows]
    except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
        raise GenerationFailed(
            f"{address} does not say which models there are: {_cause(error)}",
            expected="a running OpenAI-compatible server, or the name of its model",
            hint="start it or check the address, or name the model with --llm-model",
        ) from None
    return tuple("".join(c if c.isprintable() else " " for c in name)[:100] for name in names)


def _cause(error: Exception) -> str:
    import httpx2

    if isinstance(error, httpx2.HTTPStatusError):
        return f"HTTP status {error.response.status_code}"
    return str(error)[:160] if isinstance(error, httpx2.HTTPError) else "its reply is no list of models"
