from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.threads.models import Thread
from frontdesk.http.description import problems
from frontdesk.http.idempotency import Idempotency
from frontdesk.http.parameters import PageQuery, mark_replayed
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.kit.paging import MAX_LIMIT
from frontdesk.surfaces.threads_api.details import with_details
from frontdesk.surfaces.threads_api.parameters import Detailed, ThreadId
from frontdesk.surfaces.threads_api.schemas import (
    ListOut,
    MessageOut,
    ProviderThreadIn,
    ProviderThreadOut,
    ThreadIn,
    ThreadOut,
    ThreadPatch,
    ThreadWithMessages,
)

router = DeclaredRouter("/threads", tag="threads")
_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The thread as a file", "content": {"application/json": {}, "text/markdown": {}}}
}
provider_router = DeclaredRouter("/provider-threads", tag="provider threads")


@router.post("", status_code=201, response_model=ThreadOut, responses=problems(400, 401, 403, 408, 409, 413, 422, 503))
async def create_thread(
    request: Request, response: Response, caller: Caller, body: ThreadIn, key: Idempotency
) -> Thread:
    made = await services(request).threads.create(
        caller, title=body.title, summary=body.summary, metadata=body.metadata, key=key
    )
    mark_replayed(response, replayed=made.replayed)
    return made.result


@router.get("", response_model=ListOut[ThreadOut], responses=problems(401, 403, 404, 422, 503))
async def list_threads(
    request: Request,
    caller: Caller,
    page: PageQuery,
    include_deleted: bool = False,  # noqa: FBT001, FBT002  a query parameter
) -> object:
    items, total = await services(request).threads.list_threads(caller, page, include_deleted=include_deleted)
    return {"items": items, "page": page.number, "limit": page.limit, "total": total}


@router.get(
    "/{thread_id}",
    response_model=ThreadWithMessages,
    response_model_exclude_unset=True,
    responses=problems(401, 403, 404, 422, 503),
)
async def get_thread(
    request: Request,
    caller: Caller,
    thread_id: ThreadId,
    messages: Annotated[int, Query(ge=0, le=MAX_LIMIT, description="How many of the latest messages")] = 20,
    include_deleted: bool = False,  # noqa: FBT001, FBT002  a query parameter
    details: Detailed = False,  # noqa: FBT002  a query parameter
) -> object:
    thread, latest = await services(request).threads.get(
        caller, thread_id, latest=messages, include_deleted=include_deleted
    )
    shown = await with_details(request, caller, thread_id, shown=latest) if details else latest
    return {**msgspec.structs.asdict(thread), "messages": shown}


@router.patch("/{thread_id}", response_model=ThreadOut, responses=problems(400, 401, 403, 404, 408, 409, 413, 422, 503))
async def change_thread(request: Request, caller: Caller, thread_id: ThreadId, body: ThreadPatch) -> Thread:
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    return await services(request).threads.change(caller, thread_id, changes)


@router.delete("/{thread_id}", status_code=204, responses=problems(401, 403, 404, 409, 422, 503))
async def delete_thread(
    request: Request,
    caller: Caller,
    thread_id: ThreadId,
    purge: bool = False,  # noqa: FBT001, FBT002  a query parameter
) -> None:
    await services(request).threads.delete(caller, thread_id, purge=purge)


@router.get("/{thread_id}/export", response_class=Response, responses={**problems(401, 403, 404, 422, 503), **_EXPORT})
async def export_thread(
    request: Request,
    caller: Caller,
    thread_id: ThreadId,
    format: Literal["json", "markdown"] = "json",  # noqa: A002
) -> StreamingResponse:
    thread, pages = await services(request).threads.export(caller, thread_id)
    suffix, media_type, body = (
        ("json", "application/json", _as_json(thread, pages))
        if format == "json"
        else ("md", "text/markdown", _as_markdown(thread, pages))
    )
    disposition = f'attachment; filename="thread-{thread.id}.{suffix}"'
    return StreamingResponse(body, media_type=media_type, headers={"Content-Disposition": disposition})


async def _as_json(thread: Thread, pages: AsyncIterator[list[Message]]) -> AsyncIterator[bytes]:
    yield b'{"thread":' + ThreadOut.model_validate(thread).model_dump_json().encode() + b',"messages":['
    separator = b""
    async for page in pages:
        for message in page:
            yield separator + MessageOut.model_validate(message).model_dump_json().encode()
            separator = b","
    yield b"]}"


async def _as_markdown(thread: Thread, pages: AsyncIterator[list[Message]]) -> AsyncIterator[bytes]:
    yield f"# {thread.title or 'Untitled thread'}\n".encode()
    async for page in pages:
        for message in page:
            at = message.created_at.isoformat(timespec="seconds")
            yield f"\n## {message.role.value.capitalize()}, {at}\n\n{message.text}\n".encode()


@provider_router.get("/{thread_id}", response_model=ProviderThreadOut, responses=problems(401, 403, 404, 422, 503))
async def get_provider_thread(request: Request, caller: Caller, thread_id: ThreadId) -> object:
    return await services(request).threads.get_provider_thread(caller, thread_id)


@provider_router.put(
    "/{thread_id}", response_model=ProviderThreadOut, responses=problems(400, 401, 403, 404, 408, 413, 422, 503)
)
async def put_provider_thread(request: Request, caller: Caller, thread_id: ThreadId, body: ProviderThreadIn) -> object:
    return await services(request).threads.put_provider_thread(
        caller, thread_id, provider=body.provider, conversation_id=body.conversation_id, state=body.state
    )
