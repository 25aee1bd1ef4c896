"""The model behind an answer: anything that speaks OpenAI's chat completions, or is made to look so.

Owns the provider's wire: addresses, keys, time limits, retries before the first byte, odd framing. What it hands on is
the provider's own chunks, byte for byte, each with the few fields that the core needs, in batches of what one read
brought. It refuses to interpret: text, tools and states are the core's business.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from frontdesk.errors import ProviderError


class Usage(msgspec.Struct, frozen=True, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ToolCallPart(msgspec.Struct, frozen=True, gc=False):
    """A piece of a call that the model asks for: the first has `id` and `name`, the arguments come piece by piece.

    With `decision_only` it makes the call itself and asks for leave alone: the decision is the call's result. What is
    `to_client` is the client's to make, whatever the tool.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    decision_only: bool = False
    to_client: bool = False


class ActivityState(StrEnum):
    running = "running"
    completed = "completed"
    failed = "failed"


class CallActivity(msgspec.Struct, frozen=True, gc=False):
    """A call that whoever answers makes itself, for those who follow. `arguments` is JSON as text, `result` text."""

    call_id: str
    tool: str
    arguments: str
    state: ActivityState
    result: str | None = None


class PartKind(StrEnum):
    """What an answer can hold beside its text. An `effect` and a `progress` are told once and stored nowhere."""

    widget = "widget"
    replacement = "replacement"
    citation = "citation"
    image = "image"
    effect = "effect"
    progress = "progress"
    activity = "activity"


class AnswerPart(msgspec.Struct, frozen=True, gc=False):
    """A part of an answer that is no text. One with the `key` of an earlier part of the answer takes its place."""

    kind: PartKind
    key: str
    data: dict[str, Any]


class ModelChunks(msgspec.Struct, frozen=True, gc=False):
    """What one read brought: each `chat.completion.chunk` as it came, on one line, and what they say together.

    `text` is their text joined and `tokens` how many had some, `tool_calls` are all pieces in order; of every other
    field it is the last that was given. A batch with `activity` has no chunks.
    """

    data: Sequence[bytes]
    text: str = ""
    tokens: int = 0
    finish_reason: str | None = None
    model: str | None = None
    conversation_id: str | None = None
    agent_status: str | None = None
    usage: Usage | None = None
    tool_calls: Sequence[ToolCallPart] = ()
    activity: Sequence[CallActivity] = ()
    parts: Sequence[AnswerPart] = ()


class Action(msgspec.Struct, frozen=True, gc=False):
    """What somebody did with a widget, or a page on their behalf. `item_id` names the widget, if it was one."""

    type: str
    payload: Any = None
    item_id: str | None = None


class Visit(msgspec.Struct, frozen=True, gc=False):
    """Whose words these are where they are no account's: a session of a public chat. `subject`, `name` and `email` are
    the visitor's as the site has signed them, and None for somebody whom it did not name. No caller can set any of it.
    """

    session_id: str
    interface_id: str
    subject: str | None = None
    name: str | None = None
    email: str | None = None


class ModelRequest(msgspec.Struct, frozen=True):
    """`messages` are OpenAI's `{role, content}`; `conversation_id` is what the provider named this thread earlier.

    `tools` are OpenAI's `{type: "function", function}`, `max_tokens` bounds the answer. `thread_id` and `key` are for
    those who keep something themselves: a request that is made again has the same key. What has a runtime of its own
    gets an empty `model` when nobody named one, and `steps_left`: how often it may still ask a model. `action` is what
    the last message stands for, when that was no text; `user_id` is the account whose thread it is: in
    a public chat the interface's owner, who has not said any of it; who has is the `visit`, None everywhere else.
    """

    model: str
    messages: Sequence[dict[str, Any]]
    conversation_id: str | None = None
    tools: Sequence[dict[str, Any]] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    thread_id: str = ""
    key: str = ""
    steps_left: int | None = None
    user_id: str = ""
    visit: Visit | None = None
    action: Action | None = None


class ModelCallError(ProviderError):
    """A typed end of a call that did not succeed. `kind` is stable; `detail` is fit for the client."""

    def __init__(self, kind: str, detail: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(detail)
        self.kind = kind
        self.retry_after = retry_after
        self.provider_status = status


class LanguageModel(Protocol):
    async def stream(self, request: ModelRequest, take: Callable[[ModelChunks], None]) -> None:
        """Call the model and hand on its chunks in batches, one for each read of the socket, until the answer ends.

        `take` is called from the socket's own callback and must return soon; what it raises ends the call and is
        raised here. Cancelling closes the call at once. Raises `ModelCallError` after every chunk that came before it,
        with a kind of `connect`, `timeout_first_byte`, `timeout_between_bytes`, `reset` (also an end without a finish),
        `rate_limited`, `refused` (another 4xx or a redirect), `server_error` (5xx), `bad_response` (not an event
        stream), `bad_frame` (a frame that is not a chunk, or too large) or `error_in_stream`.
        """
        ...

    async def stop(self, thread_id: str) -> None:
        """What was asked for in this thread is not wanted any more, and no call of it is open: tell whoever would go on
        with it alone. Takes at most a second and raises nothing.
        """
        ...

    async def models(self) -> list[dict[str, Any]]:
        """The provider's models, each `{id, object: "model", ...}`. Raises `ModelCallError`."""
        ...

    async def aclose(self) -> None: ...
