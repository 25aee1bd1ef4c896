"""What visitors bring to be read, and its chunks with their vectors."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, Json, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SOURCES = "chat_interface_message_sources"
CHUNKS = "chat_interface_message_chunks"


def upgrade() -> None:
    _sources()
    _chunks()


def _sources() -> None:
    op.create_table(
        SOURCES,
        sa.Column("id", Id, nullable=False),
        sa.Column("session_id", Id, nullable=False),
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("message_id", Id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("source_index", sa.Integer, nullable=False),
        sa.Column("source_type", sa.String(16), nullable=False),
        sa.Column("source_name", sa.String(2048), nullable=False),
        sa.Column("attachment_id", Id),
        sa.Column("blob_key", sa.String(1024)),
        sa.Column("media_type", sa.String(128)),
        sa.Column("size", sa.Integer),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text),
        sa.Column("chunk_count", sa.Integer, nullable=False),
        sa.Column("is_cut", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{SOURCES}"),
        *_belonging(SOURCES),
    )
    op.create_index(f"ix_{SOURCES}_session_id_number", SOURCES, ["session_id", "number"], unique=True)
    op.create_index(f"ix_{SOURCES}_thread_id", SOURCES, ["thread_id"])


def _chunks() -> None:
    op.create_table(
        CHUNKS,
        sa.Column("id", Id, nullable=False),
        sa.Column("session_id", Id, nullable=False),
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("source_id", Id, nullable=False),
        sa.Column("source_type", sa.String(16), nullable=False),
        sa.Column("source_name", sa.String(2048), nullable=False),
        sa.Column("source_index", sa.Integer, nullable=False),
        sa.Column("chunk_index", sa.Integer, nullable=False),
        sa.Column("embedding_model", sa.String(200), nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{CHUNKS}"),
        *_belonging(CHUNKS),
        sa.ForeignKeyConstraint(["source_id"], [f"{SOURCES}.id"], name=f"fk_{CHUNKS}_source_id", ondelete="CASCADE"),
    )
    op.create_index(f"ix_{CHUNKS}_session_id", CHUNKS, ["session_id"])
    op.create_index(f"ix_{CHUNKS}_thread_id", CHUNKS, ["thread_id"])
    op.create_index(f"ix_{CHUNKS}_source_id_chunk_index", CHUNKS, ["source_id", "chunk_index"], unique=True)


def _belonging(table: str) -> list[sa.ForeignKeyConstraint]:
    """Names that end with their columns: with what they refer to they are too long for PostgreSQL."""
    return [
        sa.ForeignKeyConstraint(
            ["session_id"], ["chat_interface_sessions.id"], name=f"fk_{table}_session_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["thread_id"], ["threads.id"], name=f"fk_{table}_thread_id", ondelete="CASCADE"),
    ]
