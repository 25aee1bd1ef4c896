"""An answer while it is made: what its runner knows, and what a checkpoint or an end takes from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from frontdesk.agents.models import Agent
from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages.models import MODEL_LENGTH, Message
from frontdesk.conversation.parts.models import MOST_PARTS, Part
from frontdesk.conversation.threads.models import CONVERSATION_ID_LENGTH
from frontdesk.conversation.tool_calls.models import CALL_ID_LENGTH, TOOL_LENGTH, AnswerStep
from frontdesk.identity.message_limits import estimated_tokens
from frontdesk.ports.language_model import (
    Action,
    AnswerPart,
    CallActivity,
    ModelChunks,
    PartKind,
    ToolCallPart,
    Usage,
    Visit,
)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that is ours to run, with the branch that it answers as OpenAI's messages.

    `agent` is who answers, if it is more than a model; `lacks_agent` when the thread names one that is not there for
    its owner. `has_sources` when there is something beside the conversation to be read for it. `steps` are those that
    earlier attempts have done; `action` is what is answered, when that was no text; `visit` is whose words they are,
    when they are not the account's.
    """

    execution: Execution
    history: list[dict[str, Any]]
    conversation_id: str | None
    agent: Agent | None = None
    lacks_agent: bool = False
    has_sources: bool = False
    steps: Sequence[AnswerStep] = ()
    action: Action | None = None
    visit: Visit | None = None

    def answer(self) -> "Answer":
        """What the steps said: the rest is made behind it."""
        used: Usage | None = None
        for step in self.steps:
            used = add_usage(used, step.usage)
        answer = Answer(self.execution, text="".join(step.text for step in self.steps), used=used)
        answer.step = len(self.steps)
        answer.spent_before = sum(step_tokens(step) for step in self.steps)
        return answer


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
    what the model has said and asked for since `begin_step`; `usage` is that of all steps, and `spent` the tokens that
    they cost, estimated where the provider does not say. `parts` are those that are not stored yet.
    """

    __slots__ = (
        "_activities",
        "_asked",
        "_open",
        "_part_count",
        "_parts",
        "_said_before",
        "_tokens_before",
        "_used_before",
        "agent_status",
        "calls",
        "conversation_id",
        "cursor",
        "ending",
        "execution",
        "finish_reason",
        "model",
        "parts",
        "spent_before",
        "step",
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
        self.step = 0
        self.parts: dict[str, Part] = {}
        self.spent_before = 0
        self._asked = 0
        self._tokens_before = 0
        self._part_count = 0
        self._activities: dict[str, str] = {}

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

    @property
    def spent(self) -> int:
        return self.spent_before + self._step_spent

    @property
    def _step_spent(self) -> int:
        if self.step_usage is not None:
            return self.step_usage.total_tokens
        return (
            0
            if not self._asked
            else self._asked + estimated_tokens(self.said, pieces=self.tokens - self._tokens_before)
        )

    def begin_step(self, asked: int) -> None:
        """The model is asked again, with about so many tokens."""
        self.spent_before, self._asked, self._tokens_before = self.spent, asked, self.tokens
        self.step += 1
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

    def take_parts(self, parts: Sequence[AnswerPart]) -> list[Part]:
        """Keep what is to be stored; what can be told of them, which are all until there are too many."""
        kept = [self._part(part.kind, part.key, part.data) for part in parts if self._has_room(part.key)]
        self.parts.update({part.key: part for part in kept if part.is_stored})
        return kept

    def take_activity(self, activity: Sequence[CallActivity]) -> None:
        """A call's part is that of its beginning, with what became of it."""
        for one in activity:
            key = self._activities.setdefault(one.call_id, f"~{self.step}-{len(self._activities)}")
            if self._has_room(key):
                data = {
                    "call_id": one.call_id[:CALL_ID_LENGTH],
                    "tool": one.tool[:TOOL_LENGTH],
                    "state": one.state.value,
                }
                self.parts[key] = self._part(PartKind.activity, key, data)

    def forget_parts(self, stored: Mapping[str, Part]) -> None:
        """What has been stored, unless it has changed since."""
        self.parts = {key: part for key, part in self.parts.items() if stored.get(key) is not part}

    def _has_room(self, key: str) -> bool:
        return key in self.parts or self._part_count < MOST_PARTS

    def _part(self, kind: PartKind, key: str, data: dict[str, Any]) -> Part:
        known = self.parts.get(key)
        if known is not None:
            return msgspec.structs.replace(known, data=data)
        self._part_count += 1
        return Part(
            message_id=self.execution.message_id,
            key=key,
            step=self.step,
            number=self._part_count,
            at=len(self.text),
            kind=kind,
            data=data,
        )

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


def step_tokens(step: AnswerStep) -> int:
    return estimated_tokens(step.text) if step.usage is None else step.usage.total_tokens


def _is_storable(conversation_id: str) -> bool:
    return len(conversation_id) <= CONVERSATION_ID_LENGTH and "\0" not in conversation_id
