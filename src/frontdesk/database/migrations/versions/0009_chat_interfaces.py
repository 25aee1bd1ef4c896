"""Chat interfaces, the sessions of their visitors, and what is counted of both."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, Json, UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _interfaces()
    _hours()
    _sessions()
    _session_indexes()
    _tokens()


def _interfaces() -> None:
    op.create_table(
        "chat_interfaces",
        sa.Column("id", Id, nullable=False),
        sa.Column("owner_id", Id, nullable=False),
        sa.Column("agent_id", Id, nullable=False),
        sa.Column("slug", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        *_appearance(),
        sa.Column("allowed_origins", Json, nullable=False),
        sa.Column("locale", sa.String(35), nullable=False),
        sa.Column("identity_secret", sa.String(128)),
        sa.Column("identity_jwks", Json),
        sa.Column("session_count", sa.Integer, nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("last_activity_at", UtcDateTime),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_chat_interfaces"),
        sa.UniqueConstraint("slug", name="uq_chat_interfaces_slug"),
    )
    op.create_index("ix_chat_interfaces_owner_id_id", "chat_interfaces", ["owner_id", "id"])


def _appearance() -> list[sa.Column[object]]:
    return [
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("cover_type", sa.String(16), nullable=False),
        sa.Column("cover_value", sa.String(2048), nullable=False),
        sa.Column("icon_url", sa.String(2048)),
        sa.Column("primary_color", sa.String(16), nullable=False),
        sa.Column("font_family", sa.String(200), nullable=False),
        sa.Column("border_radius", sa.Integer, nullable=False),
        sa.Column("welcome_message", sa.Text, nullable=False),
        sa.Column("placeholder_text", sa.String(200), nullable=False),
        sa.Column("suggested_prompts", Json, nullable=False),
        sa.Column("allow_file_upload", sa.Boolean, nullable=False),
        sa.Column("max_files", sa.Integer, nullable=False),
        sa.Column("max_file_size_mb", sa.Integer, nullable=False),
        sa.Column("allowed_file_types", Json, nullable=False),
        sa.Column("persistence_type", sa.String(16), nullable=False),
        sa.Column("session_timeout_minutes", sa.Integer, nullable=False),
        sa.Column("widget_position", sa.String(16), nullable=False),
        sa.Column("widget_button_icon", sa.String(2048)),
        sa.Column("widget_button_text", sa.String(200)),
        sa.Column("widget_initial_state", sa.String(16), nullable=False),
        sa.Column("rate_limit_messages", sa.Integer, nullable=False),
        sa.Column("rate_limit_window_seconds", sa.Integer, nullable=False),
    ]


def _hours() -> None:
    op.create_table(
        "chat_interface_hours",
        sa.Column("interface_id", Id, nullable=False),
        sa.Column("hour", UtcDateTime, nullable=False),
        sa.Column("messages", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("interface_id", "hour", name="pk_chat_interface_hours"),
        sa.ForeignKeyConstraint(
            ["interface_id"],
            ["chat_interfaces.id"],
            name="fk_chat_interface_hours_interface_id_chat_interfaces",
            ondelete="CASCADE",
        ),
    )


def _sessions() -> None:
    op.create_table(
        "chat_interface_sessions",
        sa.Column("id", Id, nullable=False),
        sa.Column("interface_id", Id, nullable=False),
        sa.Column("thread_id", Id),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("visitor_key", sa.String(64), nullable=False),
        sa.Column("identity_subject", sa.String(255)),
        sa.Column("identity_name", sa.String(200)),
        sa.Column("identity_email", sa.String(254)),
        sa.Column("referrer", sa.String(300)),
        sa.Column("current_execution_id", Id),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("duration_seconds", sa.Integer, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("last_activity_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_chat_interface_sessions"),
        sa.ForeignKeyConstraint(
            ["interface_id"],
            ["chat_interfaces.id"],
            name="fk_chat_interface_sessions_interface_id_chat_interfaces",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name="fk_chat_interface_sessions_thread_id_threads", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("thread_id", name="uq_chat_interface_sessions_thread_id"),
    )


def _session_indexes() -> None:
    op.create_index(
        "ix_chat_interface_sessions_interface_id_created_at_id",
        "chat_interface_sessions",
        ["interface_id", "created_at", "id"],
    )
    identified = sa.text("identity_subject IS NOT NULL")
    op.create_index(
        "ix_chat_interface_sessions_interface_id_identity_subject",
        "chat_interface_sessions",
        ["interface_id", "identity_subject"],
        sqlite_where=identified,
        postgresql_where=identified,
    )


def _tokens() -> None:
    op.create_table(
        "chat_interface_tokens",
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("session_id", Id, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_chat_interface_tokens"),
        sa.ForeignKeyConstraint(
            ["session_id"],
            ["chat_interface_sessions.id"],
            name="fk_chat_interface_tokens_session_id_chat_interface_sessions",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_chat_interface_tokens_session_id", "chat_interface_tokens", ["session_id"])
