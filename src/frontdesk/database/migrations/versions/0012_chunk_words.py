"""The words of a chunk beside its vector. Programs before it write none, and the next search fills them in."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("chat_interface_message_chunks", sa.Column("words", sa.LargeBinary))
