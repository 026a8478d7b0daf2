"""Keeps other web sites out, which a browser on this machine may have open as well."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gnomon.serve.errors import ForeignSite, RequestError, UnknownHost, UnsupportedContentType, error_response

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_FORMS = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})


class RequestOrigin:
    """Refuses requests that only a browser sends on behalf of another site.

    - A Host that is not one of `hosts`: a name that another site has pointed at this address (DNS rebinding). None
      takes every name, which is for servers that demand keys.
    - A method other than GET, HEAD and OPTIONS from an Origin that is neither this server nor one of `origins`
      ("https://example.org"; "*": all).
    - A body of a kind that a plain HTML form can send, whatever its origin.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] | None, origins: Iterable[str] = ()) -> None:
        self.app = app
        self._hosts = None if hosts is None else frozenset(host.lower().strip("[]") for host in hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] in ("http", "websocket"):
            refused = self._refusal(Headers(scope=scope), str(scope.get("method", "GET")))
            if refused is not None:
                await error_response(refused)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, headers: Headers, method: str) -> RequestError | None:
        host = headers.get("host", "")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return UnknownHost(
                f"this server does not answer to the host {host[:100]!r}",
                expected=f"one of: {', '.join(sorted(self._hosts))}",
                hint="name further hosts with --allowed-host when the server is started",
            )
        if method in _SAFE:
            return None
        if not self._is_own(headers, host):
            return ForeignSite(
                "a web page of another site may not send this",
                expected="the server's own page, or a program",
                hint="name the site with --cors-origin when the server is started",
            )
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and content_type in _OF_FORMS:
            return UnsupportedContentType(
                f"a body of the type {content_type[:100]!r}" if content_type else "a body without a content-type",
                expected="content-type: application/json, or application/x-ndjson for streams",
                hint="with curl: -H 'content-type: application/json'",
            )
        return None

    def _is_own(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        return "*" in self._origins or origin in self._origins or origin.partition("://")[2] == host


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""
