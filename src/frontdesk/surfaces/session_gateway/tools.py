from contextlib import AsyncExitStack
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from fastapi import Body, Header, Request, Response

from frontdesk.conversation.sessions.invoking import Wanted
from frontdesk.errors import BadRequestError, SessionRequiredError
from frontdesk.http.admission import waiting_elsewhere
from frontdesk.http.description import problems
from frontdesk.http.routing import DeclaredRouter, PossibleVisitor
from frontdesk.http.services import services
from frontdesk.ports.tool_source import Tool, ToolCallError
from frontdesk.surfaces.session_gateway.forwarding import ForwardedResponse, headers_for_tools, told
from frontdesk.surfaces.session_gateway.schemas import ToolOut, ToolResultOut, ToolsOut

router = DeclaredRouter("/agent/tools", tag="tools")
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The back end's answer, with its own status, or what a tool gave that is no request to it",
        "content": {"application/json": {}, "*/*": {}},
    },
}


@router.get("", response_model=ToolsOut, responses=problems(401, 503))
async def list_tools(request: Request, _caller: PossibleVisitor) -> ToolsOut:
    return ToolsOut(tools=[ToolOut.of(tool) for tool in services(request).invoker.tools()])


@router.post(
    "/{tool}/invoke",
    response_model=None,
    response_class=Response,
    responses={**problems(400, 401, 403, 404, 409, 413, 422, 502, 503, 504), **_ANSWERS},
)
async def invoke_tool(
    request: Request,
    caller: PossibleVisitor,
    tool: str,
    body: Annotated[dict[str, Any] | None, Body()] = None,
    session: Annotated[str | None, Header(alias="X-Agent-Session-Id")] = None,
    key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)] = None,
) -> Response:
    invoker = services(request).invoker
    session_id, arguments = _asked(invoker.tool(tool), body or {}, session)
    wanted = Wanted(
        tool=tool,
        arguments=arguments,
        session_id=session_id,
        headers=headers_for_tools(request),
        key=None if key is None else sha256(f"{session_id}\n{tool}\n{key}".encode()).hexdigest(),
    )
    begun = await invoker.begin(caller, wanted)
    try:
        if begun.tool.route is None:
            with waiting_elsewhere(request):
                output = await invoker.call(begun)
            result = ToolResultOut(result=_decoded(output.content), is_error=output.is_error)
            return Response(result.model_dump_json(), media_type="application/json")
        async with AsyncExitStack() as exchange:
            with waiting_elsewhere(request):
                passage = await exchange.enter_async_context(invoker.forward(begun))
            return ForwardedResponse(passage, exchange.pop_all(), services(request).revocations)
    except ToolCallError as error:
        raise told(error) from error


def _asked(tool: Tool, body: dict[str, Any], header: str | None) -> tuple[str, dict[str, Any]]:
    """The session and the arguments. The body holds `arguments`, or is them; the `session_id` beside them may name the
    session. Raises `SessionRequiredError`, and `BadRequestError` for two sessions.
    """
    named = body.get("session_id")
    is_wrapped = isinstance(body.get("arguments"), dict) and body.keys() <= {"arguments", "session_id"}
    is_argument = not is_wrapped and "session_id" in tool.parameters.get("properties", {})
    if header is not None and named is not None and named != header and not is_argument:
        raise BadRequestError("The header and the body name two sessions")
    session_id = header if header is not None else named
    if not isinstance(session_id, str) or not session_id:
        raise SessionRequiredError
    if is_wrapped:
        return session_id, body["arguments"]
    return session_id, {name: value for name, value in body.items() if name != "session_id" or is_argument}


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
