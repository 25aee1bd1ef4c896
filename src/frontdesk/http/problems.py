"""Failures as problem documents (RFC 9457), and on the paths of OpenAI's API as those look."""

import asyncio
from contextlib import suppress
from functools import lru_cache
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from frontdesk.errors import BodyTimeoutError, BodyTooLargeError, FrontdeskError, InvalidRequestError
from frontdesk.http import openai_errors

MEDIA_TYPE = "application/problem+json"
BODY_OPEN = "frontdesk.body_open"  # set while a route that reads its body by itself has not come to its end
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 16_777_216


class FieldError(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """RFC 9457, with a stable `code` for programs; `errors` names the fields of a request that is not valid."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str | None = None
    errors: list[FieldError] | None = Field(default=None)


class LastResponse(Response):
    """A response that closes its connection while the request's body may still be coming.

    What comes is thrown away for a while: closing on it would reset the connection, and the client would lose the
    response with it (RFC 9112, 9.6).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  as ASGI calls it
        self.headers["Connection"] = "close"
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await _throw_away(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _throw_away(receive: Receive) -> None:
    thrown = 0
    while thrown < _LINGER_BYTES:
        message = await receive()
        if not message.get("more_body"):
            return
        thrown += len(message["body"])


def render(error: FrontdeskError, request_id: str | None, *, path: str, is_last: bool = False) -> Response:
    """`path` is what was asked for; `is_last` when the request's body is still coming."""
    if openai_errors.speaks_openai(path):
        return respond(error, openai_errors.body_of(error), openai_errors.MEDIA_TYPE, is_last=is_last)
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        **error.extra,
    }
    return respond(error, msgspec.json.encode(body), MEDIA_TYPE, is_last=is_last)


def respond(error: FrontdeskError, body: bytes, media_type: str, *, is_last: bool = False) -> Response:
    """The failure with its status and header fields, in whatever words."""
    headers = dict(error.headers)
    if error.status == 401:  # noqa: PLR2004  RFC 9110: a 401 names its scheme
        headers.setdefault("WWW-Authenticate", 'Bearer realm="frontdesk"')
    is_last = is_last or isinstance(error, BodyTimeoutError | BodyTooLargeError)
    response = LastResponse if is_last else Response
    return response(body, error.status, headers, media_type)


def handle(http: FastAPI) -> None:
    """Answer every failure of the application's with one."""
    http.add_exception_handler(FrontdeskError, _on_frontdesk_error)
    http.add_exception_handler(RequestValidationError, _on_validation_error)
    http.add_exception_handler(HTTPException, _on_http_exception)


async def _on_frontdesk_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, FrontdeskError):
        raise TypeError(error)
    scope = request.scope
    return render(error, scope.get("request_id"), path=scope["path"], is_last=scope.get(BODY_OPEN, False))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(error)
    failure = InvalidRequestError(errors=field_errors(error))
    return render(failure, request.scope.get("request_id"), path=request.scope["path"])


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own: an unknown path, a wrong method."""
    if not isinstance(error, HTTPException):
        raise TypeError(error)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # noqa: PLR2004  the framework names the methods of one route of the path
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    failure = _kind(error.status_code, str(error.detail))(headers=headers)
    return render(failure, request.scope.get("request_id"), path=request.scope["path"])


@lru_cache(maxsize=32)
def _kind(status: int, title: str) -> type[FrontdeskError]:
    told = {"code": _HTTP_CODES.get(status, "http_error"), "status": status, "title": title}
    return type("HttpError", (FrontdeskError,), told)


def _methods(request: Request) -> set[str]:
    path, routes = request.scope["path"], iter_route_contexts(request.app.routes)
    here = [route for route in routes if route.path is not None and compile_path(route.path)[0].match(path)]
    return {method for route in here if route.path == here[0].path for method in route.methods or ()}


def field_errors(error: RequestValidationError) -> list[dict[str, Any]]:
    return [{"loc": list(each["loc"]), "msg": str(each["msg"]), "type": str(each["type"])} for each in error.errors()]
