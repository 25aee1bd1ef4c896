from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from frontdesk.database.types import Id, Json, UtcDateTime, metadata

SOURCE_NAME_LENGTH = 2048
MODEL_LENGTH = 200
MOST_CHUNKS = 10_000  # of one session: all of them are compared with each question
SEARCH_TOOL = "search_attachments"

chat_interface_message_sources = Table(
    "chat_interface_message_sources",
    metadata,
    Column("id", Id, primary_key=True),
    Column("session_id", Id, ForeignKey("chat_interface_sessions.id", ondelete="CASCADE"), nullable=False),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("message_id", Id, nullable=False),
    Column("number", Integer, nullable=False),
    Column("source_index", Integer, nullable=False),
    Column("source_type", String(16), nullable=False),
    Column("source_name", String(SOURCE_NAME_LENGTH), nullable=False),
    Column("attachment_id", Id),
    Column("blob_key", String(1024)),
    Column("media_type", String(128)),
    Column("size", Integer),
    Column("state", String(16), nullable=False),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("chunk_count", Integer, nullable=False),
    Column("is_cut", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Index("ix_chat_interface_message_sources_session_id_number", "session_id", "number", unique=True),
    Index("ix_chat_interface_message_sources_thread_id", "thread_id"),
)

# The vector stands in front of the text: who compares vectors reads no texts.
chat_interface_message_chunks = Table(
    "chat_interface_message_chunks",
    metadata,
    Column("id", Id, primary_key=True),
    Column("session_id", Id, ForeignKey("chat_interface_sessions.id", ondelete="CASCADE"), nullable=False),
    Column("thread_id", Id, ForeignKey("threads.id", ondelete="CASCADE"), nullable=False),
    Column("source_id", Id, ForeignKey("chat_interface_message_sources.id", ondelete="CASCADE"), nullable=False),
    Column("source_type", String(16), nullable=False),
    Column("source_name", String(SOURCE_NAME_LENGTH), nullable=False),
    Column("source_index", Integer, nullable=False),
    Column("chunk_index", Integer, nullable=False),
    Column("embedding_model", String(MODEL_LENGTH), nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("content", Text, nullable=False),
    Column("metadata", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("words", LargeBinary),
    Index("ix_chat_interface_message_chunks_session_id", "session_id"),
    Index("ix_chat_interface_message_chunks_thread_id", "thread_id"),
    Index("ix_chat_interface_message_chunks_source_id_chunk_index", "source_id", "chunk_index", unique=True),
)


class SourceType(StrEnum):
    file = "file"
    url = "url"


class SourceState(StrEnum):
    """`pending`: to be read before the next answer. `failed`: it cannot be used, and its error says why."""

    pending = "pending"
    ready = "ready"
    failed = "failed"


class NewSource(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is a file's name or a link. `key` is where a file's blob lies."""

    type: SourceType
    name: str
    attachment_id: str | None = None
    key: str | None = None
    media_type: str | None = None
    size: int | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """`number` counts a session's sources from 1, `source_index` those of a message from 0. `is_cut` tells that there
    is more text in it than was taken.
    """

    id: str
    session_id: str
    thread_id: str
    message_id: str
    number: int
    source_index: int
    source_type: SourceType
    source_name: str
    attachment_id: str | None
    blob_key: str | None
    media_type: str | None
    size: int | None
    state: SourceState
    error_code: str | None
    error_message: str | None
    chunk_count: int
    is_cut: bool
    created_at: datetime


class Searchable(msgspec.Struct, frozen=True, kw_only=True):
    """What a session's chunks are compared by, in one order. `words` are missing where an older program stored them."""

    ids: list[str]
    vectors: list[bytes]
    words: list[bytes | None]


class FoundChunk(msgspec.Struct, frozen=True, kw_only=True):
    """A chunk that answers a question. `similarity` is the cosine. `label` names it within its session, for good.

    `start` and `end` are characters of the source's text; `page` counts from 1, where there are pages.
    """

    id: str
    source_id: str
    source_type: SourceType
    source_name: str
    label: str
    chunk_index: int
    content: str
    similarity: float
    start: int
    end: int
    page: int | None

    def source(self) -> dict[str, Any]:
        """As others are told of it."""
        told: dict[str, Any] = {"type": self.source_type.value, "name": self.source_name}
        return {**told, "url": self.source_name} if self.source_type is SourceType.url else told
