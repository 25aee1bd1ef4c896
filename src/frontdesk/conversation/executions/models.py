from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, text

from frontdesk.database.types import Id, Json, UtcDateTime, metadata
from frontdesk.identity.message_limits import Reserved

_ACTIVE = text("state IN ('running', 'waiting')")
_OWNED = text("owner IS NOT NULL")

executions = Table(
    "executions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, nullable=False),
    Column("user_message_id", Id, nullable=False),
    Column("message_id", Id, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", String(64)),
    Column("lease_until", UtcDateTime),
    Column("model", String(255)),
    Column("checkpoint_cursor", String(64)),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime),
    Column("finished_at", UtcDateTime),
    Column("cancel_requested_at", UtcDateTime),
    Column("restarts", Integer, nullable=False, server_default="0"),
    Column("resume_cursor", String(64)),
    Column("reservation", Json),
    Index("ix_executions_thread_id_id", "thread_id", "id"),
    Index(
        "ix_executions_unfinished",
        "state",
        "lease_until",
        sqlite_where=text("state IN ('queued', 'running', 'waiting')"),
        postgresql_where=text("state IN ('queued', 'running', 'waiting')"),
    ),
    Index("uq_executions_active", "thread_id", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    Index(
        "ix_executions_owner_cancel_requested_at",
        "owner",
        "cancel_requested_at",
        sqlite_where=_OWNED,
        postgresql_where=_OWNED,
    ),
)


class ExecutionState(StrEnum):
    queued = "queued"
    running = "running"
    waiting = "waiting"
    completed = "completed"
    failed = "failed"
    interrupted = "interrupted"


FINISHED = frozenset({ExecutionState.completed, ExecutionState.failed, ExecutionState.interrupted})


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One answer in the making. `attempt` is its fence: it grows with each runner that takes it over.

    `checkpoint_cursor` is the log's cursor up to which the answer's text is stored in its message;
    `cancel_requested_at` is when somebody in another process asked its runner to stop it. `restarts` counts the
    attempts that were given up in the middle; `resume_cursor` is how far the last one that went to wait had come.
    `reservation` is what it may cost, where that is limited.
    """

    id: str
    thread_id: str
    user_id: str
    user_message_id: str
    message_id: str
    state: ExecutionState
    attempt: int
    owner: str | None
    lease_until: datetime | None
    model: str | None
    checkpoint_cursor: str | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None = None
    restarts: int = 0
    resume_cursor: str | None = None
    reservation: Reserved | None = None

    @property
    def resumes(self) -> bool:
        """Whether the attempt before this one went to wait."""
        return self.resume_cursor is not None and self.resume_cursor.startswith(f"{self.attempt - 1}-")
