from datetime import datetime

import msgspec
from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from frontdesk.conversation.threads.models import Thread
from frontdesk.database.types import Id, UtcDateTime, metadata
from frontdesk.identity.principal import Principal, PrincipalKind

SESSION_ID_LENGTH = 64

gateway_sessions = Table(
    "gateway_sessions",
    metadata,
    Column("id", String(SESSION_ID_LENGTH), primary_key=True),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("owner_kind", String(16), nullable=False),
    Column("owner_id", Id, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("thread_id"),
)


class GatewaySession(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    thread_id: str
    owner_kind: PrincipalKind
    owner_id: str
    created_at: datetime


class HeldSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session as its holder uses it: `principal` is in whose name, `thread` the conversation that it is."""

    session: GatewaySession
    principal: Principal
    thread: Thread
