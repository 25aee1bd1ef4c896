"""Failures as this surface tells them: an `error` in JSON, and a limit that was reached as a notice that the widget
shows.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from frontdesk.errors import FrontdeskError, NotFoundError, UnauthenticatedError, UnavailableError
from frontdesk.http.edge import REFUSAL, Refusal
from frontdesk.http.routing import DeclaredRoute
from frontdesk.identity.message_limits import LimitReachedError
from frontdesk.surfaces.chatkit import frames
from frontdesk.surfaces.chatkit.requests import BadChatRequestError

_BEARER = {"WWW-Authenticate": 'Bearer realm="frontdesk"'}
_JSON, _EVENTS = "application/json", "text/event-stream"
_BAD_REQUEST, _UNPROCESSABLE, _SERVER_ERROR = 400, 422, 500
Handle = Callable[[Request], Coroutine[Any, Any, Response]]


class ChatRoute(DeclaredRoute):
    """`/chatkit` itself."""

    def get_route_handler(self) -> Handle:
        return _telling(super().get_route_handler(), _chat_refusal)


class SessionRoute(DeclaredRoute):
    """The routes that give out client secrets."""

    def get_route_handler(self) -> Handle:
        return _telling(super().get_route_handler(), _session_refusal)


def _telling(handle: Handle, refusal: Refusal) -> Handle:
    async def told(request: Request) -> Response:
        request.scope[REFUSAL] = refusal
        try:
            return await handle(request)
        except FrontdeskError as error:
            return refusal(error)
        except RequestValidationError:
            return refusal(BadChatRequestError("The request is not valid"))

    return told


def _chat_refusal(error: FrontdeskError) -> Response:
    if isinstance(error, LimitReachedError):
        return _limit_reached(error)
    if isinstance(error, UnauthenticatedError):
        return _told({"error": "Invalid client secret"}, error, headers=_BEARER)
    if isinstance(error, NotFoundError):
        return _told({"error": "Not found"}, error)
    if isinstance(error, UnavailableError) or error.status == _SERVER_ERROR:
        return _told({"error": "Chat service unavailable"}, error, status=_SERVER_ERROR)
    return _told({"error": error.detail, "code": error.code}, error, status=_as_bad_request(error))


def _session_refusal(error: FrontdeskError) -> Response:
    if isinstance(error, SessionExpiredError):
        return _told({"error": "Session expired", "code": "SESSION_EXPIRED"}, error, headers=_BEARER)
    if isinstance(error, UnauthenticatedError):
        return _told({"error": "Authentication required", "code": "UNAUTHORIZED"}, error, headers=_BEARER)
    if error.status >= _SERVER_ERROR:
        failed = {"error": "Failed to create session", "code": "SESSION_ERROR"}
        return _told(failed, error, status=_SERVER_ERROR)
    return _told({"error": error.detail, "code": error.code.upper()}, error, status=_as_bad_request(error))


class SessionExpiredError(UnauthenticatedError):
    code, title = "session_expired", "The client secret cannot be renewed"


def _as_bad_request(error: FrontdeskError) -> int:
    return _BAD_REQUEST if error.status == _UNPROCESSABLE else error.status


def _limit_reached(error: LimitReachedError) -> Response:
    """The status for programs, and in the body what the widget shows: the stream ends with it."""
    told = frames.notice(error.detail, title=error.title)
    return Response(told, error.status, {**error.headers, "Cache-Control": "no-cache"}, _EVENTS)


def _told(
    body: dict[str, str], error: FrontdeskError, *, status: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    return Response(msgspec.json.encode(body), status or error.status, {**error.headers, **(headers or {})}, _JSON)
