"""Search's own tables, and what it reads of the conversation's, which belong to that slice."""

from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    column,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

from frontdesk.database.types import Id, Json, UtcDateTime, metadata

OWNER_LENGTH = 64
MODEL_LENGTH = 255

search_outbox = Table(
    "search_outbox",
    metadata,
    Column("subject", Id, primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("user_id", Id),
    Column("revision", Integer, nullable=False),
    Column("has_words", Boolean, nullable=False),
    Column("queued_at", UtcDateTime, nullable=False),
    Column("claimed_by", String(OWNER_LENGTH)),
    Column("claimed_until", UtcDateTime),
    Index("ix_search_outbox_queued_at", "queued_at"),
    Index(
        "ix_search_outbox_user_id",
        "user_id",
        sqlite_where=text("kind = 'thread'"),
        postgresql_where=text("kind = 'thread'"),
    ),
)

search_entries = Table(
    "search_entries",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Id, nullable=False),
    Column("words", Text().with_variant(TSVECTOR, "postgresql"), nullable=False),
    Column("grams", Text().with_variant(ARRAY(Text), "postgresql"), nullable=False),
    Index("uq_search_entries_message_id", "message_id", unique=True),
    Index("ix_search_entries_user_id_message_id", "user_id", "message_id"),
    Index("ix_search_entries_words", "words", postgresql_using="gin").ddl_if(dialect="postgresql"),
    Index("ix_search_entries_grams", "grams", postgresql_using="gin").ddl_if(dialect="postgresql"),
)

_IN_USE = text("state <> 'retired'")
search_indexes = Table(
    "search_indexes",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("is_complete", Boolean, nullable=False),
    Column("model", String(MODEL_LENGTH)),
    Column("dimension", Integer),
    Column("cursor", Id),
    Column("done", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("problem", Text),
    Column("owner", String(OWNER_LENGTH)),
    Column("lease_until", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("uq_search_indexes_state", "state", unique=True, sqlite_where=_IN_USE, postgresql_where=_IN_USE),
)

threads = table(
    "threads", column("id", Id), column("user_id", Id), column("metadata", Json), column("is_deleted", Boolean)
)
messages = table(
    "messages",
    column("id", Id),
    column("thread_id", Id),
    column("role", String),
    column("status", String),
    column("model", String),
    column("text", Text),
    column("created_at", UtcDateTime),
    column("updated_at", UtcDateTime),
)


class Subject(StrEnum):
    """What an outbox row is about."""

    message = "message"
    thread = "thread"


class GenerationState(StrEnum):
    """`live` answers questions, `building` is filled beside it, `retired` waits to be dropped."""

    building = "building"
    live = "live"
    retired = "retired"


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """An index of vectors and how far it has been filled: `done` of about `total` messages, up to `cursor`.

    `model` is None until somebody with an embedder has taken it up. `owner` fills it until `lease_until`.
    """

    generation: int
    state: GenerationState
    is_complete: bool
    model: str | None
    dimension: int | None
    cursor: str | None
    done: int
    total: int
    problem: str | None
    owner: str | None
    lease_until: datetime | None
    created_at: datetime
    updated_at: datetime


class IndexedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A stored message as the indexes take it."""

    id: str
    thread_id: str
    user_id: str
    role: str
    model: str | None
    text: str
    created_at: datetime
    updated_at: datetime
