"""Stopping an answer that runs in another process: its runner is asked through the database."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_OWNED = sa.text("owner IS NOT NULL")


def upgrade() -> None:
    op.add_column("executions", sa.Column("cancel_requested_at", UtcDateTime))
    op.create_index(
        "ix_executions_owner_cancel_requested_at",
        "executions",
        ["owner", "cancel_requested_at"],
        sqlite_where=_OWNED,
        postgresql_where=_OWNED,
    )
