"""What an agent that is written in Python says: it is an asynchronous generator function of these events.

    async def agent(request: Request) -> AsyncIterator[Event]:
        yield Text("Hello")

It is called once for each step and keeps nothing between two: `request.messages` has all that was said, and behind it
what this answer's calls brought. What it raises ends the answer as `agent_failed`, and is told to operators alone.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from frontdesk.ports.language_model import ActivityState
from frontdesk.ports.language_model import ModelRequest as Request

__all__ = ["Activity", "ActivityState", "AgentFunction", "Event", "Request", "Text", "ToolCall", "UsageReport"]


class Text(msgspec.Struct, frozen=True):
    """A piece of the answer."""

    text: str


class ToolCall(msgspec.Struct, frozen=True):
    """The gateway shall call one of the agent's tools, or let the client or a person do it.

    Calls in a row belong together. Any other event behind them is not heard: the function is closed there, the calls
    are made, and it is called again with what they brought.
    """

    name: str
    arguments: dict[str, Any] = {}


class Activity(msgspec.Struct, frozen=True):
    """A call that the agent makes itself, shown to whoever follows the answer: once as running, once as what it became.

    `call_id` is the agent's own name for it. What is not JSON is shown as its `str`.
    """

    call_id: str
    tool: str
    arguments: Any = None
    state: ActivityState = ActivityState.running
    result: Any = None


class UsageReport(msgspec.Struct, frozen=True):
    """Tokens that were used; several reports of a step add up."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


Event = Text | ToolCall | Activity | UsageReport
AgentFunction = Callable[[Request], AsyncIterator[Event]]
