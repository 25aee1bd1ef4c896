from datetime import datetime, timedelta
from enum import StrEnum

import msgspec
from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, UniqueConstraint, text

from frontdesk.conversation.executions.models import ExecutionState
from frontdesk.database.types import Id, UtcDateTime, metadata
from frontdesk.public_chat.interfaces.models import ChatInterface

HASH_LENGTH = 64
SUBJECT_LENGTH = 255
PERSON_NAME_LENGTH = 200
EMAIL_LENGTH = 254
REFERRER_LENGTH = 300
_IDENTIFIED = text("identity_subject IS NOT NULL")

chat_interface_sessions = Table(
    "chat_interface_sessions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("interface_id", Id, ForeignKey("chat_interfaces.id", ondelete="CASCADE"), nullable=False),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE")),
    Column("token_hash", String(HASH_LENGTH), nullable=False),
    Column("status", String(16), nullable=False),
    Column("visitor_key", String(HASH_LENGTH), nullable=False),
    Column("identity_subject", String(SUBJECT_LENGTH)),
    Column("identity_name", String(PERSON_NAME_LENGTH)),
    Column("identity_email", String(EMAIL_LENGTH)),
    Column("referrer", String(REFERRER_LENGTH)),
    Column("current_execution_id", Id),
    Column("message_count", Integer, nullable=False),
    Column("duration_seconds", Integer, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_activity_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    UniqueConstraint("thread_id"),
    Index("ix_chat_interface_sessions_interface_id_created_at_id", "interface_id", "created_at", "id"),
    Index(
        "ix_chat_interface_sessions_interface_id_identity_subject",
        "interface_id",
        "identity_subject",
        sqlite_where=_IDENTIFIED,
        postgresql_where=_IDENTIFIED,
    ),
)

chat_interface_tokens = Table(
    "chat_interface_tokens",
    metadata,
    Column("hash", String(HASH_LENGTH), primary_key=True),
    Column("session_id", Id, ForeignKey("chat_interface_sessions.id", ondelete="CASCADE"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_chat_interface_tokens_session_id", "session_id"),
)


class SessionStatus(StrEnum):
    active = "active"
    ended = "ended"
    expired = "expired"


class TokenKind(StrEnum):
    """`session`: to take part in a session. `persistence`: to be given a token of the first kind again."""

    session = "session"
    persistence = "persistence"


class ExecutionStatus(StrEnum):
    """How a session's latest answer stands. A stopped one is completed: what it had is kept."""

    idle = "idle"
    running = "running"
    completed = "completed"
    failed = "failed"


EXECUTION_STATUS = {
    None: ExecutionStatus.idle,
    ExecutionState.queued: ExecutionStatus.running,
    ExecutionState.running: ExecutionStatus.running,
    ExecutionState.waiting: ExecutionStatus.running,
    ExecutionState.completed: ExecutionStatus.completed,
    ExecutionState.interrupted: ExecutionStatus.completed,
    ExecutionState.failed: ExecutionStatus.failed,
}


class VisitorSession(msgspec.Struct, frozen=True, kw_only=True):
    """`thread_id` is None until something was said, and then the session's own id. `token_hash` is that of the token
    that the session began with: what its limits count by. `visitor_key` tells visitors apart and names none.

    `current_execution_id` is the latest answer's; how that stands is the execution's to say.
    """

    id: str
    interface_id: str
    thread_id: str | None
    token_hash: str
    status: SessionStatus
    visitor_key: str
    identity_subject: str | None
    identity_name: str | None
    identity_email: str | None
    referrer: str | None
    current_execution_id: str | None
    message_count: int
    duration_seconds: int
    created_at: datetime
    last_activity_at: datetime
    ended_at: datetime | None

    def status_at(self, now: datetime, interface: ChatInterface) -> SessionStatus:
        """One that has been silent for longer than the interface waits has expired; of answers this knows nothing."""
        minutes = interface.session_timeout_minutes
        is_over = minutes > 0 and now - self.last_activity_at >= timedelta(minutes=minutes)
        return SessionStatus.expired if self.status is SessionStatus.active and is_over else self.status


class Standing(msgspec.Struct, frozen=True):
    """A session as others see it now."""

    session: VisitorSession
    status: SessionStatus
    execution_status: ExecutionStatus

    @property
    def current_execution_id(self) -> str | None:
        """While it runs."""
        return self.session.current_execution_id if self.execution_status is ExecutionStatus.running else None
