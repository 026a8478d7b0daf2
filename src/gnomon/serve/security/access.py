"""The check at the door: whose key a request brings, and what that key may do."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from gnomon.core.errors import GnomonError
from gnomon.serve.errors import Forbidden, KeysUnreadable, Unauthorized, error_response
from gnomon.serve.logs import SERVER
from gnomon.serve.security.keys import ApiKey, KeyFile, Scope

COLLECTION_PARAMETERS = ("collection", "vector_store_id")
"""The parameters of addresses that name a collection."""
PUBLIC_PATHS = frozenset({"/", "/health", "/ready", "/openapi.json", "/docs", "/favicon.svg"})
PUBLIC_FOLDERS = ("/docs/", "/assets/")
"""What is the same for everyone and says nothing of what is served; all else needs a key."""


class Authentication:
    """Demands a valid key with every request but those for public paths: `Authorization: Bearer KEY`.

    Routes that nothing else protects are thereby protected too. What the key may do is for `requires` to say.
    """

    def __init__(self, app: ASGIApp, keys: KeyFile, *, public_folders: Iterable[str] = PUBLIC_FOLDERS) -> None:
        self.app, self.keys = app, keys
        self._public_folders = tuple(public_folders)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "lifespan":
            path = scope["path"]
            is_public = path in PUBLIC_PATHS or path.startswith(self._public_folders)
            try:
                scope.setdefault("state", {})["api_key"] = self._key_of(Headers(scope=scope))
            except GnomonError as error:
                if not is_public:
                    await error_response(error)(scope, receive, send)
                    return
        await self.app(scope, receive, send)

    def _key_of(self, headers: Headers) -> ApiKey:
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise Unauthorized(
                "no API key",
                expected="the header Authorization: Bearer KEY",
                hint="make one where the server runs: gnomon keys create NAME",
            )
        try:
            key = self.keys.find(token.strip())
        except GnomonError as error:
            SERVER.error("no API key can be checked: %s", error.message)
            raise KeysUnreadable("no API key can be checked at the moment", hint="the server's log says why") from error
        if key is None:
            raise Unauthorized("the API key is not known here", expected="a key that `gnomon keys list` shows")
        if key.expired:
            raise Unauthorized(f"the API key {key.name!r} has expired", expected="a key that is still good")
        return key


class _Requires(HTTPBearer):
    """A dependency of a route, which the OpenAPI document shows as its security."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scheme_name="API key", description="A key that `gnomon keys create` made.", auto_error=False)
        self.scope = scope

    async def __call__(self, request: HTTPConnection) -> HTTPAuthorizationCredentials | None:
        """Raises Unauthorized for a request without a key, Forbidden for a key that may not do this here."""
        if request.app.state.gnomon.settings.keys is None:
            return None
        key = getattr(request.state, "api_key", None)
        if key is None:
            raise Unauthorized("no API key", expected="the header Authorization: Bearer KEY")
        names = [request.path_params[name] for name in COLLECTION_PARAMETERS if name in request.path_params]
        check_access(key, self.scope, names[0] if names else None)
        return None


def requires(scope: Scope) -> HTTPBearer:
    """A dependency that lets a request pass whose key has the scope for the collection in the address.

    Without a file of keys everyone on this machine may do everything.
    """
    return _Requires(scope)


def check_access(key: ApiKey, scope: Scope, collection: str | None = None) -> None:
    """Raises Forbidden where a key lacks the scope, or is for other collections.

    Collections that there are and that there are not get the same answer, so that no key finds out names.
    """
    if scope == "admin" and key.scope != "admin":
        raise Forbidden(
            f"the API key {key.name!r} may only read",
            expected="a key of the scope admin",
            hint="make one where the server runs: gnomon keys create NAME --scope admin",
        )
    if collection is not None and not key.covers(collection):
        raise Forbidden(
            f"the API key {key.name!r} is not for the collection {collection[:100]!r}",
            expected=f"one of: {', '.join(key.collections or ()) or 'none'}",
        )


def sees_all(request: Request) -> bool:
    """Whether a request may learn of everything that is served: no keys are in force, or its key is for all."""
    key = getattr(request.state, "api_key", None)
    return request.app.state.gnomon.settings.keys is None or (key is not None and key.collections is None)


def visible(request: Request, names: Iterable[str]) -> list[str]:
    """Of the names of collections those that the request's key is good for; all where no keys are in force."""
    key = getattr(request.state, "api_key", None)
    return [name for name in names if key is None or key.covers(name)]
