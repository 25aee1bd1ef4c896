"""`POST /chatkit`: the protocol's one endpoint, and its simple form."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

import msgspec
from chatkit import types
from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.requests import HTTPConnection
from starlette.responses import Response

from frontdesk.errors import UnauthenticatedError
from frontdesk.http.addresses import require_https
from frontdesk.http.routing import Declaration, DeclaredRouter, bearer_token, hold
from frontdesk.http.services import services
from frontdesk.identity.principal import Principal
from frontdesk.surfaces.chatkit.answers import Answers
from frontdesk.surfaces.chatkit.operations import Operations
from frontdesk.surfaces.chatkit.refusals import ChatRoute
from frontdesk.surfaces.chatkit.requests import SimpleRequest, parse_request

PATH = "/chatkit"
router = DeclaredRouter("", tag="chatkit", route_class=ChatRoute)


async def _admit(request: HTTPConnection) -> Principal:
    require_https(request, services(request).settings)
    secret = bearer_token(request)
    if secret is None:
        raise UnauthenticatedError
    return hold(request, await services(request).client_secrets.authenticate(secret))


Caller = Annotated[Principal, Depends(Declaration("client secret", _admit))]
_STREAMED: Mapping[type[Any], Callable[[Answers, Any], Awaitable[Response]]] = {
    SimpleRequest: Answers.simple,
    types.ThreadsCreateReq: Answers.create,
    types.ThreadsAddUserMessageReq: Answers.add_message,
    types.ThreadsAddClientToolOutputReq: Answers.add_output,
    types.ThreadsAddStructuredInputReq: Answers.add_input,
    types.ThreadsRetryAfterItemReq: Answers.retry,
    types.ThreadsCustomActionReq: Answers.act,
}
_ANSWERED: Mapping[type[Any], Callable[[Operations, Any], Awaitable[dict[str, Any]]]] = {
    types.ThreadsGetByIdReq: Operations.get_thread,
    types.ThreadsListReq: Operations.list_threads,
    types.ThreadsUpdateReq: Operations.change_thread,
    types.ThreadsDeleteReq: Operations.delete_thread,
    types.ThreadsSyncCustomActionReq: Operations.act,
    types.ItemsListReq: Operations.list_items,
    types.ItemsFeedbackReq: Operations.judge,
    types.AttachmentsCreateReq: Operations.announce_attachment,
    types.AttachmentsDeleteReq: Operations.delete_attachment,
    types.InputTranscribeReq: Operations.transcribe,
}


class ChatRefusalOut(BaseModel):
    error: str
    code: str | None = None


_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "description": "A request of the protocol (`type`, `params`), or `message` with or without `thread_id`",
                "properties": {
                    "type": {"type": "string"},
                    "params": {"type": "object"},
                    "metadata": {"type": "object"},
                    "thread_id": {"type": "string"},
                    "message": {"type": "object"},
                },
            }
        }
    },
}
_EVENTS: dict[str, Any] = {"text/event-stream": {"schema": {"type": "string"}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "JSON, or a stream of events", "content": {"application/json": {"schema": {}}, **_EVENTS}},
    429: {"description": "A notice, as the only event", "content": {"application/json": {"schema": {}}, **_EVENTS}},
    **{status: {"model": ChatRefusalOut} for status in (400, 401, 403, 404, 408, 409, 413, 500, 501, 502)},
}


@router.post(PATH, response_class=Response, responses=_ANSWERS, openapi_extra={"requestBody": _BODY})
async def chat(request: Request, caller: Caller) -> Response:
    asked = parse_request(await request.body())
    streamed = _STREAMED.get(type(asked))
    if streamed is not None:
        return await streamed(Answers(request, caller), asked)
    answered = await _ANSWERED[type(asked)](Operations(request, caller), asked)
    return Response(msgspec.json.encode(answered), 200, {"Cache-Control": "no-store"}, "application/json")
