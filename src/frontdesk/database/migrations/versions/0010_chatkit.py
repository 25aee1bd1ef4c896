"""What answers hold beside their text, what they may cost, and the secrets of embedded clients."""

import sqlalchemy as sa
from alembic import op

from frontdesk.database.types import Id, Json, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("tier", sa.String(32)))
    op.add_column("executions", sa.Column("reservation", Json))
    op.add_column("tool_calls", sa.Column("decision", sa.String(16)))
    op.create_index("ix_messages_parent_id", "messages", ["parent_id"])
    _parts()
    _secrets()
    _identities()


def _parts() -> None:
    op.create_table(
        "message_parts",
        sa.Column("message_id", Id, nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("step", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.PrimaryKeyConstraint("message_id", "key", name="pk_message_parts"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_message_parts_message_id_messages", ondelete="CASCADE"
        ),
    )


def _secrets() -> None:
    op.create_table(
        "revoked_client_secrets",
        sa.Column("id", Id, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revoked_client_secrets"),
    )
    op.create_index("ix_revoked_client_secrets_expires_at", "revoked_client_secrets", ["expires_at"])


def _identities() -> None:
    op.create_table(
        "external_identities",
        sa.Column("issuer", sa.String(255), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_external_identities"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_external_identities_user_id_users", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_external_identities_user_id", "external_identities", ["user_id"])
