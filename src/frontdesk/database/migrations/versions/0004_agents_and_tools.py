"""Agents, the steps of their answers, and the tool calls that these make."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, Json, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("executions", sa.Column("restarts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("executions", sa.Column("resume_cursor", sa.String(64)))
    _agents()
    _steps()
    _calls()


def _agents() -> None:
    op.create_table(
        "agents",
        sa.Column("id", Id, nullable=False),
        sa.Column("owner_id", Id, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("runtime", sa.String(64)),
        sa.Column("model", sa.String(255)),
        sa.Column("instructions", sa.Text, nullable=False),
        sa.Column("tools", Json, nullable=False),
        sa.Column("temperature", sa.Float),
        sa.Column("limits", Json, nullable=False),
        sa.Column("users", Json),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("is_deleted", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agents"),
    )
    op.create_index("ix_agents_owner_id_id", "agents", ["owner_id", "id"])


def _steps() -> None:
    op.create_table(
        "execution_steps",
        sa.Column("execution_id", Id, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("usage", Json),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "number", name="pk_execution_steps"),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name="fk_execution_steps_execution_id_executions", ondelete="CASCADE"
        ),
    )


def _calls() -> None:
    op.create_table(
        "tool_calls",
        sa.Column("id", Id, nullable=False),
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("execution_id", Id),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("call_id", sa.String(64), nullable=False),
        sa.Column("tool", sa.String(64), nullable=False),
        sa.Column("arguments", sa.Text, nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("content", sa.Text),
        sa.Column("error_code", sa.String(64)),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("started_at", UtcDateTime),
        sa.Column("finished_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_tool_calls"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name="fk_tool_calls_thread_id_threads", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["executions.id"], name="fk_tool_calls_execution_id_executions", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("execution_id", "call_id", name="uq_tool_calls_execution_id_call_id"),
    )
    op.create_index("ix_tool_calls_thread_id_id", "tool_calls", ["thread_id", "id"])
