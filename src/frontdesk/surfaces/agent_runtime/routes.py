"""`POST /agent/message/stream`: for gateways that have the internal key. Each of their sessions is a thread here."""

from typing import Annotated, Any

import msgspec
from fastapi import Body, Request, Response

from frontdesk import __version__
from frontdesk.conversation.drafts import IfActive
from frontdesk.conversation.tool_calls.inputs import CallPlace
from frontdesk.conversation.tool_calls.models import AWAITING, CallState
from frontdesk.conversation.tool_calls.telling import told
from frontdesk.errors import NotFoundError
from frontdesk.http.description import problems
from frontdesk.http.event_stream import EventStream
from frontdesk.http.idempotency import Given, idempotency_key
from frontdesk.http.routing import DeclaredRouter, internal, public
from frontdesk.http.services import Services, operations, services
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.agent_input import (
    LONGEST_NAME,
    BadMessageError,
    Cancel,
    HitlDecision,
    ToolResult,
    UserMessage,
    is_name,
    of_object,
)
from frontdesk.surfaces.agent_runtime.answering import PartEncoder, PartReader, known_calls

# In whose name gateways' sessions are kept. It is nobody's account.
GATEWAYS = Principal(kind=PrincipalKind.service, id="00000000-0000-8000-8000-000000000003")
_CANCELLED = b'event: done\ndata: {"status":"completed"}\n\n'
router = DeclaredRouter("/agent", tag="agent runtime")
health_router = DeclaredRouter("", tag="operations")
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer as Server-Sent Events", "content": {"text/event-stream": {}}}
}


@health_router.get("/health", dependencies=[public])
async def health(request: Request) -> dict[str, str]:
    version = operations(request).settings.gateway_version or __version__
    return {"status": "healthy", "service": "agent-runtime", "version": version}


@router.post(
    "/message/stream",
    status_code=200,
    response_class=EventStream,
    dependencies=[internal],
    responses={**problems(400, 401, 404, 408, 409, 413, 422, 503), **_STREAM},
)
async def answer_message(request: Request, body: Annotated[dict[str, Any], Body()], given: Given = None) -> Response:
    """A user's message, what an answer waits for, or a `cancel`.

    With an `Idempotency-Key` a repetition begins no second answer.
    """
    session_id, held = body.get("session_id"), services(request)
    if not isinstance(session_id, str) or not is_name(session_id):
        raise BadMessageError(f"session_id must be a text of 1 to {LONGEST_NAME} printable characters")
    message = of_object(body)
    if isinstance(message, Cancel):
        return await _cancel(held, session_id)
    _, thread_id = await held.sessions.open_named(GATEWAYS, session_id)
    if isinstance(message, UserMessage):
        return await _answer(request, thread_id, message, given=given)
    if isinstance(message, ToolResult | HitlDecision):
        return await _go_on(held, thread_id, message)
    raise BadMessageError("type must be user_message, tool_result, hitl_decision or cancel")


async def _cancel(held: Services, session_id: str) -> Response:
    """Stop what is under way; who closes a stream has only left. Raises `NotFoundError` for no session of theirs."""
    _, thread_id = await held.sessions.open_named(GATEWAYS, session_id, permit=_make_none)
    await held.conversation.stop_all(GATEWAYS, thread_id)
    return Response(_CANCELLED, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


async def _make_none() -> None:
    raise NotFoundError


async def _answer(request: Request, thread_id: str, message: UserMessage, *, given: str | None) -> EventStream[Event]:
    """Of two messages at once the later one counts: the gateway says when one may come."""
    held = services(request)
    held.conversation.require_model()
    key = None if given is None else await idempotency_key(request, GATEWAYS, given)
    draft = msgspec.structs.replace(message.draft, if_active=IfActive.interrupt)
    sent = await held.conversation.send(GATEWAYS, thread_id, draft, key=key)
    execution_id = sent.result.execution_id or ""
    if sent.replayed:
        answer = await held.feed.open(GATEWAYS, thread_id, execution_id)
    else:
        answer = await held.feed.join(thread_id, execution_id)
    return EventStream(PartReader(answer, known=set()), PartEncoder(said=0, known=set()), held.streams)


async def _go_on(held: Services, thread_id: str, message: ToolResult | HitlDecision) -> EventStream[Event]:
    asked = await held.inputs.find_asked(GATEWAYS, thread_id, message.call_id)
    place = CallPlace(thread_id, asked.execution_id, message.call_id)
    if isinstance(message, ToolResult):
        call = await held.inputs.bring_result(GATEWAYS, place, content=message.content, is_error=message.is_error)
    else:
        call = await held.inputs.decide(
            GATEWAYS, place, decision=message.decision, arguments=message.arguments, feedback=message.feedback
        )
    first = []
    if call.state is CallState.awaiting_result:  # leave was given for what the other side does
        payload = msgspec.json.encode(told(call))
        first.append(Event("", asked.execution_id, 0, EventType.input_requested, payload))
    waits = call.state in AWAITING or any(
        one.state in AWAITING for one in asked.calls if one.call_id != message.call_id
    )
    known = known_calls(asked.calls)
    answer = await held.feed.open(GATEWAYS, thread_id, asked.execution_id)
    reader = PartReader(answer, known=known, waits=waits, first=first)
    return EventStream(reader, PartEncoder(said=asked.said, known=known), held.streams)
