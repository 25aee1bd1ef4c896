from typing import Annotated, Any

from fastapi import Body, Depends, Header, Path, Query, Request, Response

from frontdesk.database.idempotency import MAX_KEY_LENGTH
from frontdesk.errors import NotFoundError
from frontdesk.http.addresses import client_address, parse_networks
from frontdesk.http.description import failures
from frontdesk.http.event_stream import EventStream
from frontdesk.http.idempotency import PRINTABLE
from frontdesk.http.parameters import known_id, mark_replayed
from frontdesk.http.routing import hold
from frontdesk.http.services import services
from frontdesk.identity.holders import Holder
from frontdesk.identity.limits import limit_fields
from frontdesk.kit.paging import MAX_LIMIT
from frontdesk.public_chat.interfaces.models import ChatInterface
from frontdesk.public_chat.interfaces.origins import frame_ancestors
from frontdesk.public_chat.services import PublicChat
from frontdesk.public_chat.sessions.models import TokenKind
from frontdesk.public_chat.sessions.moments import parse_point
from frontdesk.public_chat.sessions.opening import Visit
from frontdesk.public_chat.sessions.tokens import find_digest
from frontdesk.surfaces.public_chat.encoding import VisitorEncoder
from frontdesk.surfaces.public_chat.schemas import (
    CancelIn,
    CancelledOut,
    MessageIn,
    MessagesOut,
    PublicInterfaceOut,
    SentOut,
    SessionEndedOut,
    SessionIn,
    SessionOpenedOut,
    Token,
)
from frontdesk.surfaces.public_chat.visiting import PREFLIGHT, Visited, cross_origin, visitor_router

URGENT_PATHS = r"/public/chat-interfaces/[^/]+/(?:stream|executions/[^/]+/cancel)"
_READING = failures(403, 404, 410, 422, 503)
_WRITING = failures(400, 403, 404, 408, 409, 410, 413, 422, 429, 503)
_TEXT = {"type": "string"}
_EVENT = {
    "type": "object",
    "properties": {"id": _TEXT, "event": _TEXT, "data": _TEXT},
    "required": ["id", "event", "data"],
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The session's events", "content": {"text/event-stream": {"schema": _EVENT}}},
    204: {"description": "All was seen, and the reader does not stay for more"},
}


async def _token_in_path(token: Annotated[str, Path(max_length=100)]) -> str:
    return token


async def _token(
    in_query: Annotated[str | None, Query(alias="sessionToken", max_length=100)] = None,
    in_header: Annotated[str | None, Header(alias="X-Session-Token", max_length=100)] = None,
) -> str:
    """Raises `NotFoundError`: a session that is not named is not there."""
    token = in_header or in_query
    if token is None:
        raise NotFoundError
    return token


router = visitor_router()
PathToken = Annotated[str, Depends(_token_in_path)]
NamedToken = Annotated[str, Depends(_token)]
HeaderToken = Annotated[Token | None, Header(alias="X-Session-Token")]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=MAX_KEY_LENGTH, pattern=PRINTABLE)]


def _chat(request: Request) -> PublicChat:
    return services(request).public_chat


async def preflight(visited: Visited) -> Response:  # noqa: ARG001  it admits the origin
    return Response(status_code=204, headers=PREFLIGHT)


@router.get("", response_model=PublicInterfaceOut, responses=failures(403, 404, 503))
async def get_public_interface(response: Response, visited: Visited) -> ChatInterface:
    """With the policy under which a page that shows it may be framed."""
    response.headers["Content-Security-Policy"] = frame_ancestors(visited.interface.allowed_origins)
    return visited.interface


@router.post(
    "/sessions",
    status_code=201,
    response_model_exclude_unset=True,
    responses=_WRITING,
)
async def open_session(
    request: Request, visited: Visited, body: Annotated[SessionIn | None, Body()] = None
) -> SessionOpenedOut:
    trusted = parse_networks(services(request).settings.trusted_proxies)
    visit = Visit(**(body or SessionIn()).model_dump())
    opened = await _chat(request).opening.open(visited, visit, address=client_address(request, trusted))
    return SessionOpenedOut.of(opened)


@router.post("/messages", status_code=202, responses=_WRITING)
async def send_visitor_message(
    request: Request, response: Response, visited: Visited, body: MessageIn, key: Key = None
) -> SentOut:
    brought = [one.brought() for one in body.attachments]
    sent = await _chat(request).messages.send(visited, body.session_token, body.message, brought=brought, key=key)
    response.headers.update(limit_fields(sent.limit, sent.allowance))
    mark_replayed(response, replayed=sent.replayed)
    return SentOut(execution_id=sent.execution_id, thread_id=sent.thread_id)


@router.get(
    "/stream",
    status_code=200,
    response_class=EventStream,
    responses={**failures(400, 403, 404, 410, 422, 503), **_STREAM},
)
async def follow_visitor_session(
    request: Request,
    visited: Visited,
    token: NamedToken,
    follow: Annotated[bool, Query(description="Stay open behind an answer's end")] = False,  # noqa: FBT002
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
    after: Annotated[str | None, Query(description="As Last-Event-ID, which wins")] = None,
) -> Response:
    point = parse_point(last_event_id or after)
    visit = Holder(visited.principal, None, visit=find_digest(token, TokenKind.session))
    hold(request, visit)
    reader = await _chat(request).feed.open(visited, token, after=point, stays=follow)
    if reader is None:
        return Response(status_code=204)
    return EventStream(reader, VisitorEncoder(), services(request).streams, headers=cross_origin(request))


@router.get("/sessions/{token}/messages", responses=_READING)
async def list_visitor_messages(
    request: Request,
    visited: Visited,
    token: PathToken,
    before: Annotated[str | None, Query(description="The id of the first message that is known")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = MAX_LIMIT,
) -> MessagesOut:
    behind = None if before is None else known_id(before)
    return MessagesOut.of(await _chat(request).sessions.messages(visited, token, before=behind, limit=limit))


@router.post(
    "/executions/{execution_id}/cancel",
    status_code=202,
    responses=_WRITING,
)
async def cancel_visitor_execution(
    request: Request,
    visited: Visited,
    execution_id: Annotated[str, Path()],
    body: Annotated[CancelIn | None, Body()] = None,
    header_token: HeaderToken = None,
) -> CancelledOut:
    token = header_token or (None if body is None else body.session_token)
    if token is None:
        raise NotFoundError
    stopped = await _chat(request).messages.cancel(visited, token, known_id(execution_id))
    return CancelledOut(execution_id=stopped.id, status=stopped.state)


@router.post("/sessions/{token}/end", responses=_WRITING)
async def end_visitor_session(request: Request, visited: Visited, token: PathToken) -> SessionEndedOut:
    ended = await _chat(request).sessions.end(visited, token)
    return SessionEndedOut(session_id=ended.session.id, status=ended.status)


@router.delete("/sessions/{token}", status_code=204, responses=_READING)
async def erase_visitor_session(request: Request, visited: Visited, token: PathToken) -> Response:
    await _chat(request).sessions.erase(visited, token)
    return Response(status_code=204)


for below in (
    "",
    "/sessions",
    "/messages",
    "/stream",
    "/sessions/{token}",
    "/sessions/{token}/messages",
    "/sessions/{token}/end",
    "/executions/{execution_id}/cancel",
    "/upload",
    "/upload/{file_id}",
    "/query",
):
    router.add_api_route(below, preflight, methods=["OPTIONS"], status_code=204, include_in_schema=False)
