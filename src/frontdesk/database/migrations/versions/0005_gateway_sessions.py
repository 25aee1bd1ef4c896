"""Sessions of the session and tool gateway, and the leases of the calls that their holders ask for."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Messages may now be of the roles `system` and `tool`, which older programs cannot read.
OLDEST_PROGRAM = revision


def upgrade() -> None:
    op.create_table(
        "gateway_sessions",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("owner_kind", sa.String(16), nullable=False),
        sa.Column("owner_id", Id, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gateway_sessions"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name="fk_gateway_sessions_thread_id_threads", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("thread_id", name="uq_gateway_sessions_thread_id"),
    )
    op.add_column("tool_calls", sa.Column("lease_until", UtcDateTime))
    leased = sa.text("lease_until IS NOT NULL")
    op.create_index(
        "ix_tool_calls_lease_until", "tool_calls", ["lease_until"], sqlite_where=leased, postgresql_where=leased
    )
