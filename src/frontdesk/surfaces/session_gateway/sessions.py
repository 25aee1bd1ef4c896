from typing import Annotated, Any

from fastapi import Depends, Header, Path, Query, Request, Response

from frontdesk.errors import NotFoundError
from frontdesk.http.addresses import client_address, parse_networks
from frontdesk.http.description import problems
from frontdesk.http.event_stream import EventStream
from frontdesk.http.idempotency import VisitorsIdempotency
from frontdesk.http.parameters import known_id, mark_replayed
from frontdesk.http.routing import DeclaredRouter, PossibleVisitor
from frontdesk.http.services import services
from frontdesk.kit.paging import MAX_LIMIT
from frontdesk.surfaces.session_gateway.encoding import SessionEncoder
from frontdesk.surfaces.session_gateway.forwarding import headers_for_events
from frontdesk.surfaces.session_gateway.schemas import (
    SessionIn,
    SessionMessageIn,
    SessionMessageOut,
    SessionMessagesOut,
    SessionOut,
)

router = DeclaredRouter("/chat/sessions", tag="sessions")
_TEXT = {"type": "string"}
_EVENT = {
    "type": "object",
    "properties": {"id": _TEXT, "event": _TEXT, "data": _TEXT},
    "required": ["id", "event", "data"],
}
_FEED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The session's events", "content": {"text/event-stream": {"schema": _EVENT}}}
}
_CREATING: dict[int | str, dict[str, Any]] = {
    **problems(400, 401, 403, 404, 409, 413, 422, 429, 503),
    201: {"headers": {"Location": {"description": "The session's address", "schema": _TEXT}}},
}


async def _session_id(session_id: Annotated[str, Path()]) -> str:
    """A text that is none of our ids names nothing, whatever it holds. Raises `NotFoundError`."""
    if not session_id.isascii() or not session_id.isprintable():
        raise NotFoundError
    return session_id


SessionId = Annotated[str, Depends(_session_id)]


@router.post(
    "",
    status_code=201,
    response_model=SessionOut,
    responses=_CREATING,
)
async def create_session(
    request: Request, response: Response, caller: PossibleVisitor, body: SessionIn, key: VisitorsIdempotency
) -> SessionOut:
    held = services(request)
    if caller is None:
        await held.session_throttle.take(client_address(request, parse_networks(held.settings.trusted_proxies)))
    made = await held.sessions.create(caller, title=body.title, metadata=body.whole_metadata, key=key)
    mark_replayed(response, replayed=made.replayed)
    origin = (held.settings.gateway_url or "").rstrip("/")
    response.headers["Location"] = f"{origin}/chat/sessions/{made.result.session.id}"
    return SessionOut.of(made.result)


@router.get("/{session_id}", response_model=SessionOut, responses=problems(401, 403, 404, 422, 503))
async def get_session(request: Request, caller: PossibleVisitor, session_id: SessionId) -> SessionOut:
    return SessionOut.of(await services(request).sessions.get(caller, session_id))


@router.delete("/{session_id}", status_code=204, responses=problems(401, 403, 404, 409, 422, 503))
async def delete_session(request: Request, caller: PossibleVisitor, session_id: SessionId) -> None:
    await services(request).sessions.delete(caller, session_id)


@router.get("/{session_id}/messages", response_model=SessionMessagesOut, responses=problems(401, 403, 404, 422, 503))
async def list_session_messages(
    request: Request,
    caller: PossibleVisitor,
    session_id: SessionId,
    after: Annotated[str | None, Query(description="The `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
) -> SessionMessagesOut:
    behind = None if after is None else known_id(after)
    found, has_more = await services(request).sessions.list_messages(caller, session_id, after=behind, limit=limit)
    items = [SessionMessageOut.of(message) for message in found]
    return SessionMessagesOut(items=items, next=items[-1].id if has_more else None)


@router.post(
    "/{session_id}/messages",
    status_code=201,
    response_model=SessionMessageOut,
    responses=problems(400, 401, 403, 404, 409, 413, 422, 503),
)
async def add_session_message(
    request: Request,
    response: Response,
    caller: PossibleVisitor,
    session_id: SessionId,
    body: SessionMessageIn,
    key: VisitorsIdempotency,
) -> SessionMessageOut:
    added = await services(request).sessions.add_message(
        caller, session_id, body.draft(), respond=body.respond, key=key
    )
    mark_replayed(response, replayed=added.replayed)
    return SessionMessageOut.of(added.result)


@router.get(
    "/{session_id}/events",
    status_code=200,
    response_class=EventStream,
    responses={**problems(401, 403, 404, 422, 503), **_FEED},
)
async def follow_session(
    request: Request,
    caller: PossibleVisitor,
    session_id: SessionId,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> Response:
    held = services(request)
    reader = await held.session_feed.open(caller, session_id, after=last_event_id, headers=headers_for_events(request))
    return EventStream(reader, SessionEncoder(), held.streams, is_endless=True)
