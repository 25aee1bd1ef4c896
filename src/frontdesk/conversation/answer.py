"""An answer while it is made: what its runner knows, and what a checkpoint or an end takes from it."""

from typing import Any

import msgspec

from frontdesk.conversation.executions.models import Execution
from frontdesk.conversation.messages.models import MODEL_LENGTH, Message
from frontdesk.conversation.threads.models import CONVERSATION_ID_LENGTH
from frontdesk.ports.language_model import ModelChunks, Usage


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that is ours to run, with the branch that it answers as OpenAI's `{role, content}`."""

    execution: Execution
    history: list[dict[str, Any]]
    conversation_id: str | None


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


class Answer:
    """Grows by `absorb`; once `ending`, its end is being stored and it must not be disturbed.

    `cursor` is the log's cursor up to which its text reaches, `stored_cursor` the one stored.
    """

    __slots__ = (
        "_parts",
        "agent_status",
        "conversation_id",
        "cursor",
        "ending",
        "execution",
        "finish_reason",
        "model",
        "stored_cursor",
        "tokens",
        "usage",
    )

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.cursor: str | None = None
        self.model = execution.model
        self.usage: Usage | None = None
        self.conversation_id: str | None = None
        self.agent_status: str | None = None
        self.finish_reason: str | None = None
        self.ending = False
        self.tokens = 0
        self._parts: list[str] = []
        self.stored_cursor: str | None = None

    @property
    def text(self) -> str:
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        # PostgreSQL has no NUL in its texts.
        return self._parts[0].replace("\0", "\ufffd") if self._parts else ""

    def absorb(self, chunks: ModelChunks) -> None:
        if chunks.text:
            self._parts.append(chunks.text)
            self.tokens += chunks.tokens
        if chunks.finish_reason is not None:
            self.finish_reason = chunks.finish_reason
        if chunks.usage is not None:
            self.usage = chunks.usage
        if chunks.model is not None:
            self.model = chunks.model.replace("\0", "\ufffd")[:MODEL_LENGTH]
        if chunks.conversation_id is not None and _is_storable(chunks.conversation_id):
            self.conversation_id = chunks.conversation_id
        if chunks.agent_status is not None:
            self.agent_status = chunks.agent_status


def _is_storable(conversation_id: str) -> bool:
    return len(conversation_id) <= CONVERSATION_ID_LENGTH and "\0" not in conversation_id
