"""Errors as HTTP answers: one body for all, `{"error": {"message": …}}`, which OpenAI's clients read too."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from itertools import takewhile
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gnomon.collection.catalog import versions
from gnomon.core import errors
from gnomon.core.errors import GnomonError
from gnomon.serve.redaction import without_place

_LONGEST_MESSAGE = 500
_FOLDERS = re.compile(r"(?<![\w:/.<])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\",;:]+[/\\])+")
# What pydantic names the members of a union by; no field is called so.
_OF_UNION = re.compile(r".*[\[-].*|str|int|float|bool|list|dict|[A-Z]\w*")
_LOG = logging.getLogger("gnomon.serve")


class RequestError(GnomonError):
    """A request that cannot be answered, for a reason that only a server has."""

    status = 400
    headers: Mapping[str, str] = {}


class UnknownCollection(RequestError):
    """No collection of this name is served."""

    status = 404


class UnknownModel(RequestError):
    """No model of this name is served."""

    status = 404


class CollectionGone(RequestError):
    """The folder of a collection that is served is not there at the moment."""

    status = 503


class Unauthorized(RequestError):
    """No API key, or none that is known and still good."""

    status = 401
    headers: Mapping[str, str] = {"www-authenticate": "Bearer"}


class KeysUnreadable(RequestError):
    """The file of API keys cannot be read, so that nobody is let in."""

    status = 503


class Forbidden(RequestError):
    """The API key is for other collections, or for less."""

    status = 403


class ForeignSite(RequestError):
    """A browser sends this on behalf of another web site."""

    status = 403


class UnknownHost(RequestError):
    """The Host header names a server that this one is not."""

    status = 421


class UnsupportedContentType(RequestError):
    """A body of a type that no route takes."""

    status = 415


class BodyTooLarge(RequestError):
    """A body, or a line of a stream, above the limit."""

    status = 413


class BodyTooSlow(RequestError):
    """A body that did not arrive in time."""

    status = 408


class NotFound(RequestError):
    """There is nothing at this address: no such document, version or report."""

    status = 404


class Conflict(RequestError):
    """What is asked for does not go with what is going on, such as a second migration."""

    status = 409


class SpaceDemandFailed(RequestError):
    """The caller demands another vector space than the one that serves."""

    status = 409


class ServiceUnavailable(RequestError):
    """The server should get no requests now."""

    status = 503


class Overloaded(RequestError):
    """More work is waiting than the server takes on."""

    status = 429

    def __init__(self, message: str, *, retry_after_seconds: int = 1, expected: str = "", hint: str = "") -> None:
        super().__init__(message, expected=expected, hint=hint)
        self.headers = {"retry-after": str(retry_after_seconds)}


class TimeLimit(RequestError):
    """A request took longer than the server allows."""

    status = 504


class UnexpectedError(RequestError):
    """A defect: the log has its traceback under the request's id, which is all that the caller gets."""

    status = 500

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"an unexpected error in request {request_id}",
            hint="the server's log describes it under this id",
        )


# The first line whose kind fits decides.
STATUSES: tuple[tuple[type[GnomonError], int], ...] = (
    (errors.PromptTooLong, 400),
    (versions.NotReady, 409),
    (errors.InvalidInput, 400),
    (errors.SpaceMismatch, 409),
    (errors.MissingPrompt, 400),
    (errors.CollectionNotFound, 404),
    (errors.ModelNotFound, 404),
    (errors.ModelUnsupported, 400),
    (errors.CostLimitReached, 402),
    (errors.CollectionBusy, 503),
    (errors.CollectionTooNew, 503),
    (errors.ServerUnreachable, 503),
    (errors.StoreChanged, 503),
    (errors.CollectionDamaged, 503),
    (errors.IndexDamaged, 503),
    (errors.StorageError, 507),
    (errors.GenerationFailed, 502),
    (errors.ProviderFailed, 502),
)


def status_of(error: GnomonError) -> int:
    """The HTTP status of an error."""
    if isinstance(error, RequestError):
        return error.status
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def error_body(error: GnomonError, *, param: str | None = None) -> dict[str, Any]:
    """The body of an error's answer: one line each, and no folders of this machine where the server is at fault."""
    is_ours = status_of(error) >= 500
    message, expected, hint = told(error)
    return {
        "error": {
            "message": _one_line(message),
            "type": "server_error" if is_ours else "invalid_request_error",
            "code": type(error).__name__,
            "param": param,
            "expected": expected,
            "hint": hint,
        }
    }


def told(error: GnomonError) -> tuple[str, str, str]:
    """An error's message, what it expected, and its hint: without folders of this machine where the server is at fault.

    The log has them.
    """
    is_ours = status_of(error) >= 500
    texts = (error.message, error.expected, error.hint)
    message, expected, hint = (_FOLDERS.sub("", text) if is_ours else text for text in texts)
    return message, expected, hint


def _one_line(message: str) -> str:
    first = message.partition("\n")[0]  # a condition's error shows the place in further lines
    return first if len(first) <= _LONGEST_MESSAGE else f"{first[:_LONGEST_MESSAGE]} …"


def error_response(error: GnomonError, *, param: str | None = None) -> JSONResponse:
    """An error's answer, with its status and headers."""
    headers = dict(error.headers) if isinstance(error, RequestError) else None
    return JSONResponse(error_body(error, param=param), status_of(error), headers)


async def _known(request: Request, error: GnomonError) -> Response:
    if status_of(error) >= 500:
        _LOG.warning("%s: %s", type(error).__name__, error.message)
    body = error_body(error)
    for name, place in request.app.state.gnomon.settings.collections.items():
        body = without_place(body, place, name)
    return JSONResponse(body, status_of(error), dict(error.headers) if isinstance(error, RequestError) else None)


async def _malformed(_: Request, error: RequestValidationError) -> Response:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        at = first["loc"][-1]
        message = f"the body is no JSON: {first.get('ctx', {}).get('error', first['msg'])} at character {at}"
        return error_response(errors.InvalidInput(message, expected="a JSON document"))
    fields = takewhile(lambda part: not _OF_UNION.fullmatch(part), map(str, first["loc"][1:]))
    where = ".".join(fields)
    message = f"{where or 'the body'}: {first['msg']}"
    return error_response(errors.InvalidInput(message, expected="see /docs"), param=where or None)


async def _http(_: Request, error: HTTPException) -> Response:
    body = RequestError(str(error.detail))
    return JSONResponse(error_body(body), error.status_code, dict(error.headers or {}))


def install(app: FastAPI) -> None:
    """Make every error one kind of answer."""
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]] = {
        GnomonError: _known,
        RequestValidationError: _malformed,
        HTTPException: _http,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, cast(Any, handler))
