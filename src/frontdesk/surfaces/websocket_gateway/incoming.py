"""What a client's messages do to the session's conversation."""

from frontdesk.conversation.tool_calls.inputs import CallPlace
from frontdesk.conversation.tool_calls.models import ToolCall
from frontdesk.errors import CallNotAwaitedError, IllegalTransitionError
from frontdesk.http.services import Services
from frontdesk.identity.principal import Principal
from frontdesk.surfaces.agent_input import Cancel, HitlDecision, ToolResult, UserMessage


class Incoming:
    def __init__(self, services: Services, thread_id: str) -> None:
        self._services = services
        self._thread_id = thread_id

    async def take(
        self, principal: Principal, message: UserMessage | Cancel | ToolResult | HitlDecision
    ) -> ToolCall | None:
        """The call that a message was for. Raises a `FrontdeskError` whose detail the client is told."""
        if isinstance(message, UserMessage):
            self._services.conversation.require_model()
            await self._services.conversation.send(principal, self._thread_id, message.draft)
        elif isinstance(message, Cancel):
            await self._cancel(principal)
        else:
            return await self._bring(principal, message)
        return None

    async def _cancel(self, principal: Principal) -> None:
        execution_id = await self._active(principal)
        if execution_id is None:
            raise IllegalTransitionError("No answer is under way")
        await self._services.conversation.cancel(principal, self._thread_id, execution_id)

    async def _bring(self, principal: Principal, message: ToolResult | HitlDecision) -> ToolCall:
        execution_id = await self._active(principal)
        if execution_id is None:
            raise CallNotAwaitedError("No answer waits for this")
        place = CallPlace(self._thread_id, execution_id, message.call_id)
        inputs = self._services.inputs
        if isinstance(message, ToolResult):
            return await inputs.bring_result(principal, place, content=message.content, is_error=message.is_error)
        return await inputs.decide(
            principal, place, decision=message.decision, arguments=message.arguments, feedback=message.feedback
        )

    async def _active(self, principal: Principal) -> str | None:
        thread, _ = await self._services.threads.get(principal, self._thread_id, latest=1)
        return thread.active_execution_id
