"""A language model behind any OpenAI-compatible address: Ollama, vLLM, llama.cpp, OpenAI."""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from gnomon.answer.llm.errors import KEY_VARIABLE, EndpointErrors, refused_parameter
from gnomon.answer.llm.reply import ChatReply, MalformedReply, ReplyTimeout
from gnomon.answer.types import ChatModel, Message
from gnomon.core import servers
from gnomon.core.errors import GenerationFailed, InvalidInput, PromptTooLong, missing_extra
from gnomon.core.plugins import load_plugin
from gnomon.core.servers import checked_key, is_loopback

if TYPE_CHECKING:
    import openai


CONNECT_TIMEOUT_S = 10.0
TOTAL_TIMEOUTS = 10
"""A whole reply may take this many times the longest silence."""
STREAM_RETRY_WAIT_S = 0.5
"""Before a stream that broke off is requested again; twice as long before each further time."""
LIST_TIMEOUT_S = 10.0
PLUGIN_PREFIX = "plugin:"
_RENAMED_PARAMETERS = {"max_tokens": "max_completion_tokens"}
_NO_KEY = "none"
_MAX_SHOWN = 20


class Endpoint:
    """An OpenAI-compatible server and one of its models: keeps `ChatModel`. Threads may share it.

    `url` is the server's base address. One without a path gets /v1, as all servers have it
    ("http://localhost:11434" is "http://localhost:11434/v1"); any other path is taken as it is. The key is
    `key`, else the environment's OPENAI_API_KEY; servers that need none get a placeholder. `timeout_s` is
    the longest silence, before the first piece and between pieces; a reply may take ten times that in all.
    `retries` more requests follow, before the first piece and never after, where the server cannot be
    reached, breaks off, or answers 408, 409, 429 or 5xx; a Retry-After of up to two minutes is kept to. The
    environment's proxies are not used for this machine's own addresses. Raises InvalidInput for an address,
    a name or a number that cannot be, and without openai.
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
        given = checked_key(key if key is not None else os.environ.get(KEY_VARIABLE), variable=KEY_VARIABLE)
        self._errors = EndpointErrors(base_url(url), model, given, key_is_argument=key is not None)
        self._timeout_s, self._retries = timeout_s, retries
        self._refused: frozenset[str] = frozenset()
        self._client: openai.OpenAI | None = None
        self._mutex = threading.Lock()
        _require_openai()

    @property
    def name(self) -> str:
        """The model's name."""
        return self._errors.model

    @property
    def url(self) -> str:
        """The base address to which requests go."""
        return self._errors.url

    def __repr__(self) -> str:
        return f"Endpoint({self.url!r}, {self.name!r})"

    def close(self) -> None:
        """Closes the connections."""
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
        for retry in range(self._retries + 1):
            started = False
            try:
                with closing(self._stream_once(messages, max_tokens, temperature)) as pieces:
                    for piece in pieces:
                        started = True
                        yield piece
                return
            except _StreamBroken as failure:
                if started or retry == self._retries:
                    raise failure.error from None
            time.sleep(STREAM_RETRY_WAIT_S * 2**retry)

    def _stream_once(
        self, messages: Sequence[Message], max_tokens: int, temperature: float
    ) -> Generator[str, None, None]:
        import httpx2
        import openai

        reply, total_s = None, TOTAL_TIMEOUTS * self._timeout_s
        try:
            with self._request(messages, max_tokens=max_tokens, temperature=temperature) as response:
                reply = ChatReply(response, total_s)
                yield from reply
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except openai.APITimeoutError as error:
            raise self._time_out(error) from None
        except openai.APIConnectionError as error:
            cause = str(error.__cause__ or "")
            if isinstance(error.__cause__, httpx2.ConnectError | httpx2.ProxyError):
                raise self._errors.unreachable(cause) from None
            failure = self._errors.interrupted(cause, has_text=reply is not None and reply.has_text)
            raise (failure if reply is None else _StreamBroken(failure)) from None
        except openai.APIError as error:  # in the place of an event
            failure = self._errors.refused(200, error.body, {})
            raise (failure if isinstance(failure, PromptTooLong) else _StreamBroken(failure)) from None
        except ReplyTimeout:
            raise self._errors.timed_out("did not end its reply within", total_s) from None
        except MalformedReply as error:
            raise self._errors.malformed(str(error)) from None
        # A stream that was cut off has no finish reason; the SDK ends it without an error.
        if reply.finish_reason is None:
            raise _StreamBroken(self._errors.interrupted("", has_text=reply.has_text))
        unfinished = self._errors.unfinished(reply.finish_reason, max_tokens, has_text=reply.has_text)
        if unfinished is not None:
            raise unfinished

    def _request(self, messages: Sequence[Message], **parameters: float) -> openai.Stream[object]:
        """Sends the messages. Parameters that the model refuses are left out, now and from then on."""
        import openai

        sent = [{"role": message.role, "content": _encodable(message.content)} for message in messages]
        while True:
            accepted = {name: value for name, value in parameters.items() if name not in self._refused}
            accepted |= {new: parameters[old] for old, new in _RENAMED_PARAMETERS.items() if old in self._refused}
            body = {"model": self.name, "messages": sent, "stream": True, **accepted}
            try:
                return self._opened().post(
                    "/chat/completions", body=body, cast_to=object, stream=True, stream_cls=openai.Stream[object]
                )
            except openai.APIStatusError as error:
                refused = refused_parameter(error.status_code, error.body)
                if refused is None or refused in self._refused:
                    raise
                self._refused |= {refused}

    def _status_error(self, error: openai.APIStatusError) -> GenerationFailed:
        if error.status_code != 404 and error.code != "model_not_found":
            return self._errors.refused(error.status_code, error.body, error.response.headers)
        import openai

        client = self._opened().with_options(max_retries=0, timeout=min(5.0, self._timeout_s))
        try:
            models: list[str] | None = [str(model.id) for model in client.models.list()]
        except (openai.OpenAIError, ValueError, AttributeError, TypeError):
            models = None
        return self._errors.unknown_model(error.body, models)

    def _time_out(self, error: openai.APITimeoutError) -> GenerationFailed:
        import httpx2

        if isinstance(error.__cause__, httpx2.ConnectTimeout):
            return self._errors.timed_out("took no connection for", min(CONNECT_TIMEOUT_S, self._timeout_s))
        return self._errors.timed_out("sent nothing for", self._timeout_s)

    def _opened(self) -> openai.OpenAI:
        with self._mutex:
            if self._client is None:
                self._client = _open_client(self.url, self._errors.key, self._timeout_s, retries=self._retries)
            return self._client


class _StreamBroken(Exception):
    """A failure within a reply, which the SDK does not retry."""

    def __init__(self, error: GenerationFailed) -> None:
        super().__init__(str(error))
        self.error = error


def _open_client(url: str, key: str | None, timeout_s: float, *, retries: int) -> openai.OpenAI:
    """The SDK's client, whose own retries leave out what no retry mends: a slow server, a used-up quota."""
    import httpx2
    import openai

    class _Client(openai.DefaultHttpxClient):  # type: ignore[misc]
        def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            try:
                response: httpx2.Response = super().send(request, **options)
                if response.status_code == 429 and b"insufficient_quota" in response.read():
                    response.headers["x-should-retry"] = "false"
            except httpx2.TimeoutException as error:
                raise openai.APITimeoutError(request) from error
            return response

    timeout = openai.Timeout(timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
    http_client = _Client(trust_env=not is_loopback(url), timeout=timeout)
    return openai.OpenAI(
        base_url=url, api_key=key or _NO_KEY, timeout=timeout, max_retries=retries, http_client=http_client
    )


def open_chat_model(source: str, model: str | None = None, *, timeout_s: float = 60.0) -> ChatModel:
    """The language model behind an address, or of an installed plug-in: "plugin:NAME".

    Without a `model` it is the only one that the server has. A plug-in is the entry point NAME of the group
    `gnomon.chat_models`: a callable that takes the model's name, None without one, and returns a `ChatModel`.
    Raises InvalidInput for an address, a plug-in or a model that cannot be, GenerationFailed where a server
    does not list its models.
    """
    if not source.startswith(PLUGIN_PREFIX):
        return Endpoint(source, model or only_model(source), timeout_s=timeout_s)
    name = source.removeprefix(PLUGIN_PREFIX)
    chat: ChatModel = load_plugin("gnomon.chat_models", name)(model)
    if not isinstance(getattr(chat, "name", None), str) or not callable(getattr(chat, "stream", None)):
        raise InvalidInput(
            f"the plug-in {name!r} gave a {type(chat).__name__}",
            expected="a language model: gnomon.answer.ChatModel, with name and stream",
            hint="update or uninstall its package",
        )
    return chat


def base_url(url: str) -> str:
    """The base address of a language model's server; see `gnomon.core.servers.base_url`.

    >>> base_url("http://localhost:11434"), base_url("https://host/api/v1/")
    ('http://localhost:11434/v1', 'https://host/api/v1')
    """
    return servers.base_url(
        url,
        serves="a language model",
        key_variable=KEY_VARIABLE,
        endpoint="/chat/completions",
        hint="Ollama's is http://localhost:11434, that of llama.cpp http://localhost:8080",
    )


def only_model(url: str) -> str:
    """The name of the one model that the server at an address has, for requests that name none.

    Raises InvalidInput where it has several, which are listed, or none; GenerationFailed where it does not
    say.
    """
    names = models(url)
    if len(names) == 1:
        return names[0]
    shown = ", ".join(names[:_MAX_SHOWN])
    shown += f" and {len(names) - _MAX_SHOWN} more" if len(names) > _MAX_SHOWN else ""
    raise InvalidInput(
        f"no model is named, and {base_url(url)} has {len(names) or 'none'}",
        expected=f"the name of one of its models: {shown}" if names else "a server that has a model",
        hint=f"--llm-model {names[0]}" if names else "load a model first, such as `ollama pull NAME`",
    )


def models(url: str, *, timeout_s: float = LIST_TIMEOUT_S) -> tuple[str, ...]:
    """The names of a server's models, as it lists them. The key is the environment's OPENAI_API_KEY."""
    _require_openai()
    import openai

    address = base_url(url)
    try:
        with _open_client(
            address, checked_key(os.environ.get(KEY_VARIABLE), variable=KEY_VARIABLE), timeout_s, retries=0
        ) as client:
            names = [str(model.id) for model in client.models.list()]
    except (openai.OpenAIError, ValueError, AttributeError, TypeError) as error:
        cause = "its reply is no list of models"
        if isinstance(error, openai.APIStatusError):
            cause = f"HTTP status {error.status_code}"
        elif isinstance(error, openai.APIConnectionError):
            cause = str(error.__cause__ or error)[:160]
        raise GenerationFailed(
            f"{address}/models does not say which models there are: {cause}",
            expected="a running OpenAI-compatible server, or the name of its model",
            hint="start it or check the address, or name the model with --llm-model",
        ) from None
    return tuple("".join(c if c.isprintable() else " " for c in name)[:100] for name in names)


def _require_openai() -> None:
    if importlib.util.find_spec("openai") is None:
        raise missing_extra("openai", extra="answer")


def _encodable(text: str) -> str:
    """Lone surrogates, as a terminal may pass them in, cannot be sent."""
    return text.encode("utf-8", "replace").decode("utf-8")
