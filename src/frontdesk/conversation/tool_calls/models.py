from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint, text

from frontdesk.database.types import Id, Json, UtcDateTime, metadata
from frontdesk.ports.language_model import Usage

CALL_ID_LENGTH = 64
TOOL_LENGTH = 64
_LEASED = text("lease_until IS NOT NULL")

execution_steps = Table(
    "execution_steps",
    metadata,
    Column("execution_id", Id, ForeignKey("executions.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("usage", Json),
    Column("created_at", UtcDateTime, nullable=False),
)

tool_calls = Table(
    "tool_calls",
    metadata,
    Column("id", Id, primary_key=True),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("execution_id", Id, ForeignKey("executions.id", ondelete="CASCADE")),
    Column("step", Integer, nullable=False),
    Column("call_id", String(CALL_ID_LENGTH), nullable=False),
    Column("tool", String(TOOL_LENGTH), nullable=False),
    Column("arguments", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("content", Text),
    Column("error_code", String(64)),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("lease_until", UtcDateTime),
    Column("decision", String(16)),
    UniqueConstraint("execution_id", "call_id"),
    Index("ix_tool_calls_thread_id_id", "thread_id", "id"),
    Index("ix_tool_calls_lease_until", "lease_until", sqlite_where=_LEASED, postgresql_where=_LEASED),
)


class CallState(StrEnum):
    """`requested` calls are to be made here; those that await something are made, or answered, when it has come.

    What awaits a decision is made by whoever asked for it, if the decision lets it.
    """

    requested = "requested"
    awaiting_approval = "awaiting_approval"
    awaiting_result = "awaiting_result"
    awaiting_decision = "awaiting_decision"
    running = "running"
    completed = "completed"
    failed = "failed"


AWAITING = frozenset({CallState.awaiting_approval, CallState.awaiting_result, CallState.awaiting_decision})
SETTLED = frozenset({CallState.completed, CallState.failed})


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """`arguments` is JSON as text, `content` what the model is told of the result, `step` counts from 1.

    `attempt` is that of the execution's runner that began it. One without an execution was asked for by a caller; the
    process that makes it holds `lease_until`. `decision` is what somebody decided who was asked for leave.
    """

    id: str
    thread_id: str
    execution_id: str | None
    step: int
    call_id: str
    tool: str
    arguments: str
    state: CallState
    attempt: int
    content: str | None
    error_code: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    lease_until: datetime | None = None
    decision: str | None = None


class AnswerStep(msgspec.Struct, frozen=True, kw_only=True):
    """One asking of the model that ended in calls: what it said before them. `number` counts from 1."""

    execution_id: str
    number: int
    text: str
    usage: Usage | None
    created_at: datetime
    calls: list[ToolCall] = []

    def messages(self, *, longest: int | None = None) -> list[dict[str, Any]]:
        """As OpenAI's messages: the assistant's with its calls, and a tool's for each; results cut to `longest`."""
        asked = [
            {"id": call.call_id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}
            for call in self.calls
        ]
        told = [
            {"role": "tool", "tool_call_id": call.call_id, "content": (call.content or "")[:longest]}
            for call in self.calls
        ]
        return [{"role": "assistant", "content": self.text or None, "tool_calls": asked}, *told]
