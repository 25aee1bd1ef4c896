from typing import Annotated

import msgspec
from fastapi import Depends, Path, Query, Request, Response

from frontdesk.http.description import failures
from frontdesk.http.parameters import PageQuery, known_id
from frontdesk.http.plain_failures import PlainFailureRoute
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.kit.paging import MAX_LIMIT
from frontdesk.public_chat.interfaces.analytics import Analytics, Period
from frontdesk.public_chat.interfaces.models import Appearance
from frontdesk.public_chat.services import PublicChat
from frontdesk.public_chat.sessions.models import SessionStatus
from frontdesk.surfaces.chat_interfaces_api.schemas import (
    AnalyticsOut,
    IdentitySecretOut,
    InterfaceIn,
    InterfaceOut,
    InterfacePut,
    PageOut,
    SessionOut,
    TranscriptOut,
)

router = DeclaredRouter("/chat-interfaces", tag="chat interfaces", route_class=PlainFailureRoute)
_READING = failures(401, 404, 422, 503)
_WRITING = failures(400, 401, 404, 408, 409, 413, 422, 503)


async def _interface_id(interface_id: Annotated[str, Path()]) -> str:
    return known_id(interface_id)


async def _session_id(visitor_session_id: Annotated[str, Path()]) -> str:
    return known_id(visitor_session_id)


async def _agent_id(agent_id: Annotated[str | None, Query(alias="agentId")] = None) -> str | None:
    return None if agent_id is None else known_id(agent_id)


InterfaceId = Annotated[str, Depends(_interface_id)]
SessionId = Annotated[str, Depends(_session_id)]
AgentId = Annotated[str | None, Depends(_agent_id)]
Before = Annotated[str | None, Query(description="The id of the first message of the page that is known")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT)]


def _chat(request: Request) -> PublicChat:
    return services(request).public_chat


@router.post("", status_code=201, responses=_WRITING)
async def create_interface(request: Request, caller: Caller, body: InterfaceIn) -> InterfaceOut:
    chosen = body.model_dump(exclude={"slug"})
    known_id(body.agent_id)
    made = await _chat(request).interfaces.create(caller, msgspec.convert(chosen, Appearance), slug=body.slug)
    return InterfaceOut.of(made)


@router.get("", response_model=PageOut[InterfaceOut], responses=_READING)
async def list_interfaces(request: Request, caller: Caller, page: PageQuery, agent_id: AgentId) -> object:
    items, total = await _chat(request).interfaces.list_interfaces(caller, page, agent_id=agent_id)
    listed = [InterfaceOut.of(item) for item in items]
    return {"items": listed, "page": page.number, "limit": page.limit, "total": total}


@router.get("/{interface_id}", responses=_READING)
async def get_interface(request: Request, caller: Caller, interface_id: InterfaceId) -> InterfaceOut:
    return InterfaceOut.of(await _chat(request).interfaces.get(caller, interface_id))


@router.put("/{interface_id}", responses=_WRITING)
async def change_interface(
    request: Request, caller: Caller, interface_id: InterfaceId, body: InterfacePut
) -> InterfaceOut:
    changes = body.changes()
    if "agent_id" in changes:
        known_id(body.agent_id)
    changed = msgspec.convert({"name": "", "agent_id": "", **changes}, Appearance)
    typed = {name: getattr(changed, name) if name != "slug" else changes[name] for name in changes}
    return InterfaceOut.of(await _chat(request).interfaces.change(caller, interface_id, typed))


@router.delete("/{interface_id}", status_code=204, responses=_READING)
async def delete_interface(request: Request, caller: Caller, interface_id: InterfaceId) -> Response:
    await _chat(request).removal.delete(caller, interface_id)
    return Response(status_code=204)


@router.post("/{interface_id}/publish", responses=_WRITING)
async def publish_interface(request: Request, caller: Caller, interface_id: InterfaceId) -> InterfaceOut:
    return InterfaceOut.of(await _chat(request).interfaces.publish(caller, interface_id))


@router.post("/{interface_id}/unpublish", responses=_WRITING)
async def unpublish_interface(request: Request, caller: Caller, interface_id: InterfaceId) -> InterfaceOut:
    return InterfaceOut.of(await _chat(request).interfaces.unpublish(caller, interface_id))


@router.post("/{interface_id}/duplicate", status_code=201, responses=_WRITING)
async def duplicate_interface(request: Request, caller: Caller, interface_id: InterfaceId) -> InterfaceOut:
    return InterfaceOut.of(await _chat(request).interfaces.duplicate(caller, interface_id))


@router.post("/{interface_id}/identity-secret", status_code=201, response_model=IdentitySecretOut, responses=_WRITING)
async def renew_identity_secret(request: Request, caller: Caller, interface_id: InterfaceId) -> object:
    return {"identity_secret": await _chat(request).interfaces.renew_identity_secret(caller, interface_id)}


@router.get("/{interface_id}/analytics", response_model=AnalyticsOut, responses=_READING)
async def get_analytics(
    request: Request, caller: Caller, interface_id: InterfaceId, period: Period = Period.week
) -> Analytics:
    return await _chat(request).interfaces.analytics(caller, interface_id, period)


@router.get("/{interface_id}/sessions", response_model=PageOut[SessionOut], responses=_READING)
async def list_interface_sessions(
    request: Request, caller: Caller, interface_id: InterfaceId, page: PageQuery, status: SessionStatus | None = None
) -> object:
    standings, total = await _chat(request).sessions.list_sessions(caller, interface_id, page, status=status)
    listed = [SessionOut.of(standing) for standing in standings]
    return {"items": listed, "page": page.number, "limit": page.limit, "total": total}


@router.get("/{interface_id}/sessions/{visitor_session_id}", responses=_READING)
async def get_interface_session(
    request: Request, caller: Caller, interface_id: InterfaceId, visitor_session_id: SessionId
) -> SessionOut:
    return SessionOut.of(await _chat(request).sessions.get_listed(caller, interface_id, visitor_session_id))


@router.get(
    "/{interface_id}/sessions/{visitor_session_id}/messages",
    responses=failures(401, 403, 404, 422, 503),
)
async def get_transcript(
    request: Request,
    caller: Caller,
    interface_id: InterfaceId,
    visitor_session_id: SessionId,
    before: Before = None,
    limit: Limit = MAX_LIMIT,
) -> TranscriptOut:
    behind = None if before is None else known_id(before)
    said = await _chat(request).sessions.transcript(
        caller, interface_id, visitor_session_id, before=behind, limit=limit
    )
    return TranscriptOut.of(said)


@router.post("/{interface_id}/sessions/{visitor_session_id}/end", responses=_WRITING)
async def end_interface_session(
    request: Request, caller: Caller, interface_id: InterfaceId, visitor_session_id: SessionId
) -> SessionOut:
    return SessionOut.of(await _chat(request).sessions.end_listed(caller, interface_id, visitor_session_id))


@router.delete("/{interface_id}/sessions/{visitor_session_id}", status_code=204, responses=_READING)
async def erase_interface_session(
    request: Request, caller: Caller, interface_id: InterfaceId, visitor_session_id: SessionId
) -> Response:
    await _chat(request).sessions.erase_listed(caller, interface_id, visitor_session_id)
    return Response(status_code=204)
