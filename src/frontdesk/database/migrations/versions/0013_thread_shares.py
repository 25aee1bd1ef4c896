"""Copies of threads that their owners share."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, Json, UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "thread_shares"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("id", Id, nullable=False),
        sa.Column("thread_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("token_digest", sa.String(64), nullable=False),
        sa.Column("title", sa.String(500)),
        sa.Column("messages", Json, nullable=False),
        sa.Column("message_count", sa.Integer, nullable=False),
        sa.Column("is_cut", sa.Boolean, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{TABLE}"),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["threads.id"], name=f"fk_{TABLE}_thread_id_threads", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{TABLE}_user_id_users", ondelete="CASCADE"),
        sa.UniqueConstraint("token_digest", name=f"uq_{TABLE}_token_digest"),
    )
    op.create_index(f"ix_{TABLE}_thread_id", TABLE, ["thread_id"])
    op.create_index(f"ix_{TABLE}_user_id", TABLE, ["user_id"])
