"""An answer while it is made: what its runner knows, and what a checkpoint or an end takes from it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.agents.models import Agent
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages.models import MODEL_LENGTH, Message
from frontdesk.conversation.threads.models import CONVERSATION_ID_LENGTH
from frontdesk.conversation.tool_calls.models import AnswerStep
from frontdesk.ports.language_model import ModelChunks, ToolCallPart, Usage


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that is ours to run, with the branch that it answers as OpenAI's messages.

    `agent` is who answers, if it is more than a model; `lacks_agent` when the thread names one that is not there for
    its owner. `steps` are those that earlier attempts have done.
    """

    execution: Execution
    history: list[dict[str, Any]]
    conversation_id: str | None
    agent: Agent | None = None
    lacks_agent: bool = False
    steps: Sequence[AnswerStep] = ()

    def answer(self) -> "Answer":
        """What the steps said: the rest is made behind it."""
        used: Usage | None = None
        for step in self.steps:
            used = add_usage(used, step.usage)
        return Answer(self.execution, text="".join(step.text for step in self.steps), used=used)


class StoredText(msgspec.Struct, frozen=True):
    """The payload of a `snapshot`: the text as it is stored."""

    text: str
    model: str | None
    message_id: str
    created: int
    usage: Usage | None

    @classmethod
    def of(cls, message: Message) -> bytes:
        created = int(message.created_at.timestamp())
        return msgspec.json.encode(cls(message.text, message.model, message.id, created, message.usage))


class CallAsked:
    """A tool call as the model asks for it, piece by piece."""

    __slots__ = ("_arguments", "decision_only", "id", "name", "to_client")

    def __init__(self, part: ToolCallPart) -> None:
        self.id = part.id
        self.name = part.name or ""
        self.decision_only = part.decision_only
        self.to_client = part.to_client
        self._arguments: list[str] = [part.arguments]

    @property
    def arguments(self) -> str:
        return "".join(self._arguments).replace("\0", "\ufffd")

    def absorb(self, part: ToolCallPart) -> None:
        self.id = self.id or part.id
        self.name = self.name or part.name or ""
        self._arguments.append(part.arguments)


class Answer:
    """Grows by `absorb`; once `ending`, its end is being stored and it must not be disturbed.

    `cursor` is the log's cursor up to which its text reaches, `stored_cursor` the one stored. `said` and `calls` are
    what the model has said and asked for since `begin_step`; `usage` is that of all steps.
    """

    __slots__ = (
        "_open",
        "_parts",
        "_said_before",
        "_used_before",
        "agent_status",
        "calls",
        "conversation_id",
        "cursor",
        "ending",
        "execution",
        "finish_reason",
        "model",
        "step_usage",
        "stored_cursor",
        "tokens",
    )

    def __init__(self, execution: Execution, *, text: str = "", used: Usage | None = None) -> None:
        self.execution = execution
        self.cursor: str | None = None
        self.model = execution.model
        self.step_usage: Usage | None = None
        self.conversation_id: str | None = None
        self.agent_status: str | None = None
        self.finish_reason: str | None = None
        self.ending = False
        self.tokens = 0
        self.calls: list[CallAsked] = []
        self._open: dict[int, CallAsked] = {}
        self._parts: list[str] = [] if not text else [text]
        self._said_before = len(text)
        self._used_before = used
        self.stored_cursor: str | None = None

    @property
    def text(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        # PostgreSQL has no NUL in its texts.
        return self._parts[0].replace("\0", "\ufffd") if self._parts else ""

    @property
    def said(self) -> str:
        return self.text[self._said_before :]

    @property
    def usage(self) -> Usage | None:
        return add_usage(self._used_before, self.step_usage)

    def begin_step(self) -> None:
        """The model is asked again."""
        self._said_before = len(self.text)
        self._used_before, self.step_usage = self.usage, None
        self.calls, self._open = [], {}

    def absorb(self, chunks: ModelChunks) -> None:
        if chunks.tool_calls:
            self._take_calls(chunks.tool_calls)
        if chunks.text:
            self._parts.append(chunks.text)
            self.tokens += chunks.tokens
        if chunks.finish_reason is not None:
            self.finish_reason = chunks.finish_reason
        if chunks.usage is not None:
            self.step_usage = chunks.usage
        if chunks.model is not None:
            self.model = chunks.model.replace("\0", "\ufffd")[:MODEL_LENGTH]
        if chunks.conversation_id is not None and _is_storable(chunks.conversation_id):
            self.conversation_id = chunks.conversation_id
        if chunks.agent_status is not None:
            self.agent_status = chunks.agent_status

    def _take_calls(self, parts: Sequence[ToolCallPart]) -> None:
        """Some providers number every call 0: another id is another call."""
        for part in parts:
            known = self._open.get(part.index)
            if known is None or (part.id is not None and known.id is not None and part.id != known.id):
                self._open[part.index] = CallAsked(part)
                self.calls.append(self._open[part.index])
            else:
                known.absorb(part)


def add_usage(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.total_tokens + other.total_tokens,
    )


def _is_storable(conversation_id: str) -> bool:
    return len(conversation_id) <= CONVERSATION_ID_LENGTH and "\0" not in conversation_id
