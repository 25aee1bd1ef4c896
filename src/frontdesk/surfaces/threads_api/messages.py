from typing import Annotated, Any

from fastapi import Body, Query, Request, Response

from frontdesk.conversation.drafts import Draft
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages.models import Feedback, Message
from frontdesk.database.idempotency import Once
from frontdesk.http.description import problems
from frontdesk.http.event_stream import EventStream
from frontdesk.http.idempotency import REPLAYED, Idempotency
from frontdesk.http.parameters import PageQuery, known_id, mark_replayed
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.ports.thread_log import Event
from frontdesk.surfaces.threads_api.details import with_details
from frontdesk.surfaces.threads_api.encoding import ThreadsApiEncoder, parse_last_event_id
from frontdesk.surfaces.threads_api.parameters import Detailed, ExecutionId, LastEventId, MessageId, ThreadId
from frontdesk.surfaces.threads_api.schemas import (
    DetailedMessageOut,
    ExecutionOut,
    FeedbackIn,
    FeedbackOut,
    ListOut,
    MessageIn,
    MessageOut,
    MessagePatch,
    RegenerateIn,
)

router = DeclaredRouter("/threads/{thread_id}", tag="messages")
URGENT_PATHS = r"/threads/[^/]+/executions/[^/]+/(stream|cancel)"  # resumes and stops go before what is new
_SENDING = problems(400, 401, 403, 404, 408, 409, 413, 422, 503)
_TEXT = {"type": "string"}
_EVENT = {"type": "object", "properties": {"id": _TEXT, "data": _TEXT}, "required": ["data"]}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer as Server-Sent Events", "content": {"text/event-stream": {"schema": _EVENT}}}
}


@router.get(
    "/messages",
    response_model=ListOut[DetailedMessageOut],
    response_model_exclude_unset=True,
    responses=problems(401, 403, 404, 422, 503),
)
async def list_messages(
    request: Request,
    caller: Caller,
    thread_id: ThreadId,
    page: PageQuery,
    details: Detailed = False,  # noqa: FBT002  a query parameter
) -> object:
    items, total = await services(request).messages.list_messages(caller, thread_id, page)
    shown = await with_details(request, caller, thread_id, shown=items) if details else items
    return {"items": shown, "page": page.number, "limit": page.limit, "total": total}


@router.post("/messages", status_code=201, response_model=MessageOut, responses=_SENDING)
async def send_message(
    request: Request, response: Response, caller: Caller, thread_id: ThreadId, body: MessageIn, key: Idempotency
) -> Message:
    sent = await services(request).conversation.send(caller, thread_id, _draft(body), key=key)
    mark_replayed(response, replayed=sent.replayed)
    return sent.result


@router.post("/messages/stream", status_code=200, response_class=EventStream, responses={**_SENDING, **_STREAM})
async def send_and_stream(
    request: Request, caller: Caller, thread_id: ThreadId, body: MessageIn, key: Idempotency
) -> Response:
    conversation = services(request).conversation
    conversation.require_model()
    sent = await conversation.send(caller, thread_id, _draft(body), key=key)
    return await _stream_sent(request, caller, sent)


@router.patch("/messages/{message_id}", response_model=MessageOut, responses=_SENDING)
async def change_message(
    request: Request, caller: Caller, thread_id: ThreadId, message_id: MessageId, body: MessagePatch
) -> Message:
    return await services(request).messages.change(caller, thread_id, message_id, text=body.text, status=body.status)


@router.post("/messages/{message_id}/regenerate", status_code=201, response_model=MessageOut, responses=_SENDING)
async def regenerate(
    request: Request,
    response: Response,
    caller: Caller,
    thread_id: ThreadId,
    message_id: MessageId,
    key: Idempotency,
    body: Annotated[RegenerateIn | None, Body()] = None,
) -> Message:
    wanted = body or RegenerateIn()
    begun = await services(request).conversation.regenerate(
        caller, thread_id, message_id, model=wanted.model, if_active=wanted.if_active, key=key
    )
    mark_replayed(response, replayed=begun.replayed)
    return begun.result


@router.post("/messages/{message_id}/feedback", status_code=201, response_model=FeedbackOut, responses=_SENDING)
async def judge_message(
    request: Request,
    response: Response,
    caller: Caller,
    thread_id: ThreadId,
    message_id: MessageId,
    body: FeedbackIn,
    key: Idempotency,
) -> Feedback:
    judged = await services(request).messages.judge(
        caller, thread_id, message_id, kind=body.kind, comment=body.comment, key=key
    )
    mark_replayed(response, replayed=judged.replayed)
    return judged.result


@router.get(
    "/executions/{execution_id}/stream",
    status_code=200,
    response_class=EventStream,
    responses={**problems(400, 401, 403, 404, 422, 503), **_STREAM},
)
async def join_stream(
    request: Request,
    caller: Caller,
    thread_id: ThreadId,
    execution_id: ExecutionId,
    last_event_id: LastEventId = None,
    after: Annotated[str | None, Query(description="As Last-Event-ID, which wins")] = None,
) -> Response:
    cursor, skip = parse_last_event_id(last_event_id or after)
    reader = await services(request).feed.open(caller, thread_id, execution_id, after=cursor)
    encoder = ThreadsApiEncoder(thread_id, after=cursor, skip=skip)
    return EventStream(reader, encoder, services(request).streams)


@router.post("/executions/{execution_id}/cancel", status_code=202, response_model=ExecutionOut, responses=_SENDING)
async def cancel(
    request: Request,
    response: Response,
    caller: Caller,
    thread_id: ThreadId,
    execution_id: ExecutionId,
    key: Idempotency,
) -> Execution:
    stopped = await services(request).conversation.cancel(caller, thread_id, execution_id, key=key)
    mark_replayed(response, replayed=stopped.replayed)
    return stopped.result


def _draft(body: MessageIn) -> Draft:
    senders = tuple(sender for sender in (body.sender_id, body.user_id) if sender is not None)
    return Draft(
        text=body.text,
        senders=senders,
        model=body.model,
        metadata=body.metadata,
        attachments=tuple(dict.fromkeys(body.attachments)),
        parent_id=None if body.parent_id is None else known_id(body.parent_id),
        if_active=body.if_active,
    )


async def _stream_sent(request: Request, caller: Caller, sent: Once[Message]) -> EventStream[Event]:
    """A message that was sent before joins the answer that it began then."""
    message, held = sent.result, services(request)
    execution_id = message.execution_id or ""
    if sent.replayed:
        reader = await held.feed.open(caller, message.thread_id, execution_id)
    else:
        reader = await held.feed.join(message.thread_id, execution_id)
    encoder = ThreadsApiEncoder(message.thread_id)
    return EventStream(reader, encoder, held.streams, headers=REPLAYED if sent.replayed else None)
