from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from frontdesk.database.types import Id, Json, UtcDateTime, metadata
from frontdesk.ports.language_model import Usage

MODEL_LENGTH = 255

messages = Table(
    "messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("sender_id", Id),
    Column("text", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("model", String(MODEL_LENGTH)),
    Column("execution_id", Id),
    Column("parent_id", Id),
    Column("usage", Json),
    Column("metadata", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("thread_id", "position"),
    Index("ix_messages_execution_id", "execution_id"),
    Index("ix_messages_parent_id", "parent_id"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("comment", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)


class Role(StrEnum):
    """`system` and `tool` messages are put there by whoever keeps the conversation; no answer is ever one."""

    user = "user"
    assistant = "assistant"
    system = "system"
    tool = "tool"


class MessageStatus(StrEnum):
    queued = "queued"
    running = "running"
    completed = "completed"
    failed = "failed"
    interrupted = "interrupted"


class FeedbackKind(StrEnum):
    positive = "positive"
    negative = "negative"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """`position` counts the thread's messages from 1: the order that every reader sees.

    A user's message carries the status of its latest answer; `execution_id` names the execution that makes it.
    """

    id: str
    thread_id: str
    position: int
    role: Role
    sender_id: str | None
    text: str
    status: MessageStatus
    model: str | None
    execution_id: str | None
    parent_id: str | None
    usage: Usage | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    user_id: str
    kind: FeedbackKind
    comment: str | None
    created_at: datetime
    updated_at: datetime
