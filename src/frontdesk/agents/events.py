"""What an agent that is written in Python says: it is an asynchronous generator function of these events.

    async def agent(request: Request) -> AsyncIterator[Event]:
        yield Text("Hello")

It is called once for each step and keeps nothing between two: `request.messages` has all that was said, and behind it
what this answer's calls brought. What it raises ends the answer as `agent_failed`, and is told to operators alone.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from frontdesk.ports.language_model import Action, ActivityState, Visit
from frontdesk.ports.language_model import ModelRequest as Request

__all__ = [
    "Action",
    "Activity",
    "ActivityState",
    "AgentFunction",
    "Citation",
    "Effect",
    "Event",
    "Image",
    "Progress",
    "Request",
    "Text",
    "ToolCall",
    "UsageReport",
    "Visit",
    "Widget",
]


class Text(msgspec.Struct, frozen=True):
    """A piece of the answer."""

    text: str


class ToolCall(msgspec.Struct, frozen=True):
    """The gateway shall call one of the agent's tools, or let the client or a person do it.

    Calls in a row belong together. Any other event behind them is not heard: the function is closed there, the calls
    are made, and it is called again with what they brought; not behind one that `is_last`: with its result, the answer
    ends.
    """

    name: str
    arguments: dict[str, Any] = {}
    is_last: bool = False


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


class Widget(msgspec.Struct, frozen=True):
    """A card, list or form beside the text, as the client's kit describes them (`chatkit.widgets`, as JSON).

    The same `key` again changes it. With `item_id` it takes the place of a widget of an earlier answer, such as the one
    that an action came from. `copy_text` is what copying it gives.
    """

    widget: dict[str, Any]
    key: str = "widget"
    copy_text: str | None = None
    item_id: str | None = None


class Citation(msgspec.Struct, frozen=True):
    """Where something that was said comes from: a page with a `url`, or a file with a `filename`.

    `index` is the character of the text behind which it stands.
    """

    title: str
    url: str | None = None
    filename: str | None = None
    description: str | None = None
    index: int | None = None


class Image(msgspec.Struct, frozen=True):
    url: str
    key: str = "image"


class Effect(msgspec.Struct, frozen=True):
    """Something that the client shall do, and nobody waits for."""

    name: str
    data: dict[str, Any] = {}


class Progress(msgspec.Struct, frozen=True):
    """What is being done, for as long as nothing else is shown."""

    text: str
    icon: str | None = None


Event = Text | ToolCall | Activity | UsageReport | Widget | Citation | Image | Effect | Progress
AgentFunction = Callable[[Request], AsyncIterator[Event]]
