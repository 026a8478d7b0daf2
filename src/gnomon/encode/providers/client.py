"""One HTTP client for every provider: it waits its turn, retries what retrying mends, and says what went wrong."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from gnomon.core.errors import ModelNotFound
from gnomon.core.servers import base_url, checked_key, is_loopback
from gnomon.encode.providers.description import Body, Provider, ProviderSettings
from gnomon.encode.providers.errors import ProviderErrors, is_budget
from gnomon.encode.providers.throttle import Throttle, seconds

if TYPE_CHECKING:
    import httpx2

CONNECT_TIMEOUT_S = 10.0
TOTAL_TIMEOUTS = 10
"""A whole answer may take this many times the longest silence."""
LONGEST_BACKOFF_S = 60.0


@dataclass(frozen=True)
class _Answer:
    """What one attempt gave: a body with its status, or the cause why there is none."""

    status: int = 0
    body: Any = field(default=None, repr=False)  # it may hold the key, and tracebacks show locals
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    cause: str = ""

    @property
    def is_transient(self) -> bool:
        """Whether another attempt may fare better."""
        if self.status == 0:
            return True
        return (self.status in (408, 409, 429) or self.status >= 500) and not is_budget(self.status, self.body)


class ProviderClient:
    """Requests to one model of one provider. Threads may share it.

    The key is in no attribute that is shown: `repr` and errors leave it out, and it is not stored.
    Raises InvalidInput for an address or a key that cannot be, ProviderFailed for a provider without its key.
    """

    def __init__(self, provider: Provider, model: str, settings: ProviderSettings) -> None:
        given = settings.key if settings.key is not None else os.environ.get(provider.key_variable)
        key = checked_key(given, variable=provider.key_variable)
        url = settings.url or (os.environ.get(provider.url_variable) if provider.url_variable else "") or provider.url
        self.provider, self.model, self.settings = provider, model, settings
        self.errors = ProviderErrors(
            provider, _checked_url(url, provider), model, key, key_is_argument=settings.key is not None
        )
        if provider.needs_key and key is None:
            raise self.errors.no_key()
        self._throttle = Throttle()
        self._closed = False
        self._mutex = threading.Lock()
        self._http: httpx2.Client | None = None

    @property
    def name(self) -> str:
        """The name by which the model is opened: "openai:MODEL", or the address with #MODEL."""
        return f"{self.url}#{self.model}" if self.provider.is_address else f"{self.provider.name}:{self.model}"

    @property
    def url(self) -> str:
        """The base address to which requests go."""
        return self.errors.url

    def __repr__(self) -> str:
        return f"ProviderClient({self.provider.name!r}, {self.model!r}, {self.url!r})"

    def close(self) -> None:
        """Ends waiting requests and closes the connections."""
        with self._mutex:
            self._closed = True
            if self._http is not None:
                self._http.close()
            self._http = None

    def post(self, path: str, body: Body, *, tokens: int, stop: threading.Event | None = None) -> Any:
        """The JSON of the answer to a request of so many tokens, after as many attempts as it takes.

        No attempt is made once `stop` is set. Raises ProviderFailed, ModelNotFound and InvalidInput, as the
        server's answer is.
        """
        stop = stop or threading.Event()
        until, tries = time.monotonic() + self.settings.retry_s, 0
        while True:
            if not self._has_turn(tokens, until, stop):
                raise self.errors.unsent()
            sent_at = time.monotonic()
            answer = self._attempt(path, body)
            wait = requested_wait(answer.headers, answer.body)
            told = self._throttle.answered(
                tokens, answer.headers, sent_at=sent_at, refused=answer.status == 429 and wait is None
            )
            tries += 1
            if answer.status == 200:
                return answer.body
            wait = told or None if wait is None else wait
            pause = self._backoff(tries) if wait is None else wait + random.uniform(0, min(1.0, 0.1 * wait))
            is_last = tries > self.settings.retries or time.monotonic() + pause > until or self._closed
            if is_last or not answer.is_transient or stop.wait(pause):
                raise self._failure(answer, wait, tries)

    @property
    def requests_per_minute(self) -> float | None:
        """The server's limit as its replies told it."""
        return self._throttle.limit("requests")

    @property
    def tokens_per_minute(self) -> float | None:
        """The server's limit as its replies told it."""
        return self._throttle.limit("tokens")

    def models(self) -> tuple[str, ...]:
        """The names that the server lists, none where it does not say."""
        answer = self._attempt("/models", None)
        rows = answer.body.get("data") if answer.status == 200 and isinstance(answer.body, dict) else None
        found = [row.get("id") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        return tuple(name for name in found if isinstance(name, str))

    def page(self, path: str) -> Any:
        """What a page of the server says, None where there is none."""
        answer = self._attempt(path, None)
        return answer.body if answer.status == 200 else None

    def _has_turn(self, tokens: int, until: float, stop: threading.Event) -> bool:
        """Waits until the rate limits leave room; False where that is too late, or the caller went away."""
        while not stop.is_set():
            wait = self._throttle.delay(tokens)
            if wait <= 0:
                return True
            left = until - time.monotonic()
            if left <= 0:
                return False
            stop.wait(min(wait, left))
        return False

    def _backoff(self, tries: int) -> float:
        return random.uniform(0, min(LONGEST_BACKOFF_S, self.settings.backoff_s * 2.0**tries))

    def _failure(self, answer: _Answer, wait: float | None, tries: int) -> Exception:
        if answer.status == 0:
            return self.errors.unreachable(answer.cause, tries)
        error = self.errors.refused(answer.status, answer.body, wait_s=wait, tries=tries)
        if isinstance(error, ModelNotFound):
            return self.errors.unknown_model(self.errors.words(answer.body), self.models())
        return error

    def _attempt(self, path: str, body: Body | None) -> _Answer:
        """One request. What the HTTP library raises becomes a value here: its errors hold the request and the key."""
        import httpx2

        url = urljoin(self.url + "/", path.lstrip("/"))
        headers = {"content-type": "application/json", **self._key_header()}
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        longest = time.monotonic() + TOTAL_TIMEOUTS * self.settings.timeout_s
        try:
            method = "GET" if body is None else "POST"
            with self._client().stream(method, url, headers=headers, content=content) as response:
                raw = bytearray()
                for piece in response.iter_bytes():
                    raw += piece
                    if time.monotonic() > longest:
                        return _Answer(cause="it did not end its answer in time")
                return _answer(response, bytes(raw))
        except httpx2.TimeoutException as error:
            return _Answer(cause=f"no answer for {self.settings.timeout_s:g} s ({type(error).__name__})")
        except (httpx2.HTTPError, httpx2.StreamError, OSError, RuntimeError) as error:
            return _Answer(cause=str(error) or type(error).__name__)

    def _key_header(self) -> dict[str, str]:
        key, name = self.errors.key, self.provider.key_header
        if key is None:
            return {}
        return {name: f"Bearer {key}" if name == "Authorization" else key}

    def _client(self) -> httpx2.Client:
        import httpx2

        with self._mutex:
            if self._http is None:
                timeout = httpx2.Timeout(
                    self.settings.timeout_s, connect=min(CONNECT_TIMEOUT_S, self.settings.timeout_s), pool=None
                )
                limits = httpx2.Limits(max_connections=self.settings.parallel)
                self._http = httpx2.Client(timeout=timeout, limits=limits, trust_env=not is_loopback(self.url))
            return self._http


def requested_wait(headers: Mapping[str, str], body: Any) -> float | None:
    """Seconds that the server asks to wait: retry-after-ms, retry-after, or Google's RetryInfo; None if it does not."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0), ("x-ratelimit-reset-after", 1.0)):
        if name in headers and (value := seconds(headers[name])) is not None:
            return value * scale
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("retryDelay"), str):
            return seconds(detail["retryDelay"])
    return None


def _answer(response: httpx2.Response, raw: bytes) -> _Answer:
    headers = {name.lower(): value for name, value in response.headers.items()}
    status = 500 if 300 <= response.status_code < 400 else response.status_code
    try:
        body = json.loads(raw)
    except ValueError:
        if status < 300:  # cut off on the way, or a page of a proxy
            return _Answer(headers=headers, cause="its answer is no JSON, or was cut off")
        body = raw.decode("utf-8", "replace")
    return _Answer(200 if status < 300 else status, body, headers)


def _checked_url(url: str, provider: Provider) -> str:
    return base_url(
        url,
        serves="a provider of vectors",
        key_variable=provider.key_variable,
        endpoint="/embeddings",
        default_path=urlsplit(provider.url).path if provider.url else "/v1",
    )
