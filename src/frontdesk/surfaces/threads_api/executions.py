"""An answer in the making: how it stands, and what somebody brings for it."""

import msgspec
from fastapi import Request

from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.tool_calls.inputs import CallPlace
from frontdesk.conversation.tool_calls.models import ToolCall
from frontdesk.conversation.tool_calls.telling import told
from frontdesk.http.description import problems
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.surfaces.threads_api.parameters import ExecutionId, ThreadId
from frontdesk.surfaces.threads_api.schemas import ApprovalIn, ExecutionWithCalls, ToolCallOut, ToolResultIn

router = DeclaredRouter("/threads/{thread_id}/executions/{execution_id}", tag="executions")
_BRINGING = problems(400, 401, 403, 404, 409, 413, 422, 503)


@router.get("", response_model=ExecutionWithCalls, responses=problems(401, 403, 404, 422, 503))
async def get_execution(request: Request, caller: Caller, thread_id: ThreadId, execution_id: ExecutionId) -> object:
    execution, calls = await services(request).inputs.list_calls(caller, thread_id, execution_id)
    return _shown(execution, calls)


@router.post("/tool-results", response_model=ToolCallOut, responses=_BRINGING)
async def bring_result(
    request: Request, caller: Caller, thread_id: ThreadId, execution_id: ExecutionId, body: ToolResultIn
) -> object:
    content = body.error if body.error is not None else _text(body.result)
    call = await services(request).inputs.bring_result(
        caller, CallPlace(thread_id, execution_id, body.call_id), content=content, is_error=body.error is not None
    )
    return told(call)


@router.post("/approvals", response_model=ToolCallOut, responses=_BRINGING)
async def decide(
    request: Request, caller: Caller, thread_id: ThreadId, execution_id: ExecutionId, body: ApprovalIn
) -> object:
    call = await services(request).inputs.decide(
        caller,
        CallPlace(thread_id, execution_id, body.call_id),
        decision=body.decision,
        arguments=body.arguments,
        feedback=body.feedback,
    )
    return told(call)


def _text(result: object) -> str:
    return result if isinstance(result, str) else msgspec.json.encode(result).decode()


def _shown(execution: Execution, calls: list[ToolCall]) -> dict[str, object]:
    return {**msgspec.structs.asdict(execution), "tool_calls": [told(call) for call in calls]}
