"""Failures as problem documents (RFC 9457)."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from frontdesk.errors import FrontdeskError, InvalidRequestError

MEDIA_TYPE = "application/problem+json"
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


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


def render(error: FrontdeskError, request_id: str | None) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "request_id": request_id,
        **error.extra,
    }
    headers = dict(error.headers)
    if error.status == 401:  # noqa: PLR2004  RFC 9110: a 401 names its scheme
        headers.setdefault("WWW-Authenticate", 'Bearer realm="frontdesk"')
    return Response(msgspec.json.encode(body), error.status, headers, MEDIA_TYPE)


async def on_frontdesk_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, FrontdeskError):
        raise TypeError(error)
    return render(error, request.scope.get("request_id"))


async def on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise TypeError(error)
    return render(InvalidRequestError(errors=_fields(error.errors())), request.scope.get("request_id"))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own: an unknown path, a wrong method."""
    if not isinstance(error, HTTPException):
        raise TypeError(error)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # noqa: PLR2004  the framework names the methods of one route of the path
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    failure = FrontdeskError(str(error.detail), headers=headers)
    response = render(failure, request.scope.get("request_id"))
    code = _HTTP_CODES.get(error.status_code, "http_error")
    body = {**msgspec.json.decode(response.body), "status": error.status_code, "code": code, "title": str(error.detail)}
    return Response(msgspec.json.encode(body), error.status_code, headers, MEDIA_TYPE)


def _methods(request: Request) -> set[str]:
    path, routes = request.scope["path"], iter_route_contexts(request.app.routes)
    here = [route for route in routes if route.path is not None and compile_path(route.path)[0].match(path)]
    return {method for route in here if route.path == here[0].path for method in route.methods or ()}


def _fields(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"loc": list(error["loc"]), "msg": str(error["msg"]), "type": str(error["type"])} for error in errors]
