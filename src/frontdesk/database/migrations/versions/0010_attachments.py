"""Files that people bring."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, Json, UtcDateTime

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "attachments",
        sa.Column("id", Id, nullable=False),
        sa.Column("owner_kind", sa.String(16), nullable=False),
        sa.Column("owner_id", Id, nullable=False),
        sa.Column("thread_id", Id),
        sa.Column("message_id", Id),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("key", sa.String(900), nullable=False),
        sa.Column("name", sa.String(150), nullable=False),
        sa.Column("media_type", sa.String(128)),
        sa.Column("size", sa.BigInteger),
        sa.Column("sha256", sa.String(64)),
        sa.Column("max_bytes", sa.BigInteger, nullable=False),
        sa.Column("allowed", Json, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_attachments"),
    )
    op.create_index("ix_attachments_owner_id", "attachments", ["owner_id"])
    op.create_index("ix_attachments_thread_id", "attachments", ["thread_id"])
    op.create_index("ix_attachments_state_created_at", "attachments", ["state", "created_at"])
