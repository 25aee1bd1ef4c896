"""Threads, messages, executions, feedback and what providers keep."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, Json, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNFINISHED = sa.text("state IN ('queued', 'running', 'waiting')")
_ACTIVE = sa.text("state IN ('running', 'waiting')")


def upgrade() -> None:
    _threads()
    _messages()
    _executions()


def _threads() -> None:
    op.create_table(
        "threads",
        sa.Column("id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("title", sa.String(500)),
        sa.Column("summary", sa.Text),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("last_message_at", UtcDateTime),
        sa.Column("activity_at", UtcDateTime, nullable=False),
        sa.Column("active_execution_id", Id),
        sa.Column("leaf_message_id", Id),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_threads"),
    )
    op.create_index("ix_threads_user_id_activity_at_id", "threads", ["user_id", "activity_at", "id"])
    op.create_table(
        "provider_threads",
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("provider", sa.String(255)),
        sa.Column("conversation_id", sa.String(1024)),
        sa.Column("state", Json, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("thread_id", name="pk_provider_threads"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name="fk_provider_threads_thread_id_threads", ondelete="CASCADE"
        ),
    )


def _messages() -> None:
    op.create_table(
        "messages",
        sa.Column("id", Id, nullable=False),
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("sender_id", Id),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("model", sa.String(255)),
        sa.Column("execution_id", Id),
        sa.Column("parent_id", Id),
        sa.Column("usage", Json),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_messages"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name="fk_messages_thread_id_threads", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("thread_id", "position", name="uq_messages_thread_id_position"),
    )
    op.create_index("ix_messages_execution_id", "messages", ["execution_id"])
    op.create_table(
        "feedback",
        sa.Column("message_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "user_id", name="pk_feedback"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_feedback_message_id_messages", ondelete="CASCADE"
        ),
    )


def _executions() -> None:
    op.create_table(
        "executions",
        sa.Column("id", Id, nullable=False),
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("user_message_id", Id, nullable=False),
        sa.Column("message_id", Id, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("model", sa.String(255)),
        sa.Column("checkpoint_cursor", sa.String(64)),
        sa.Column("error_code", sa.String(64)),
        sa.Column("error_message", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_executions"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name="fk_executions_thread_id_threads", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_executions_thread_id_id", "executions", ["thread_id", "id"])
    op.create_index(
        "ix_executions_unfinished",
        "executions",
        ["state", "lease_until"],
        sqlite_where=_UNFINISHED,
        postgresql_where=_UNFINISHED,
    )
    op.create_index(
        "uq_executions_active",
        "executions",
        ["thread_id"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
