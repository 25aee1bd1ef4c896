"""Search: what has changed, the words and trigrams of messages, and the generations of vectors."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from frontdesk.database.types import Id, UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_FULL_TEXT = (
    """CREATE VIRTUAL TABLE search_words USING fts5(
        user_id, words, content='search_entries', content_rowid='id', tokenize="ascii tokenchars '_-'")""",
    """CREATE VIRTUAL TABLE search_grams USING fts5(
        grams, content='search_entries', content_rowid='id', tokenize='trigram case_sensitive 1', detail='none')""",
    """CREATE TRIGGER search_entries_added AFTER INSERT ON search_entries BEGIN
        INSERT INTO search_words(rowid, user_id, words) VALUES (new.id, new.user_id, new.words);
        INSERT INTO search_grams(rowid, grams) VALUES (new.id, new.grams);
    END""",
    """CREATE TRIGGER search_entries_removed AFTER DELETE ON search_entries BEGIN
        INSERT INTO search_words(search_words, rowid, user_id, words)
            VALUES ('delete', old.id, old.user_id, old.words);
        INSERT INTO search_grams(search_grams, rowid, grams) VALUES ('delete', old.id, old.grams);
    END""",
)


def upgrade() -> None:
    _outbox()
    _entries()
    _indexes()


def _outbox() -> None:
    op.create_table(
        "search_outbox",
        sa.Column("subject", Id, nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("user_id", Id),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("has_words", sa.Boolean, nullable=False),
        sa.Column("queued_at", UtcDateTime, nullable=False),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("claimed_until", UtcDateTime),
        sa.PrimaryKeyConstraint("subject", name="pk_search_outbox"),
    )
    op.create_index("ix_search_outbox_queued_at", "search_outbox", ["queued_at"])
    of_threads = sa.text("kind = 'thread'")
    op.create_index(
        "ix_search_outbox_user_id", "search_outbox", ["user_id"], sqlite_where=of_threads, postgresql_where=of_threads
    )


def _entries() -> None:
    on_postgres = op.get_context().dialect.name == "postgresql"
    op.create_table(
        "search_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("message_id", Id, nullable=False),
        sa.Column("user_id", Id, nullable=False),
        sa.Column("words", postgresql.TSVECTOR() if on_postgres else sa.Text(), nullable=False),
        sa.Column("grams", postgresql.ARRAY(sa.Text) if on_postgres else sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_entries"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_search_entries_message_id_messages", ondelete="CASCADE"
        ),
    )
    op.create_index("uq_search_entries_message_id", "search_entries", ["message_id"], unique=True)
    op.create_index("ix_search_entries_user_id_message_id", "search_entries", ["user_id", "message_id"])
    if on_postgres:
        op.create_index("ix_search_entries_words", "search_entries", ["words"], postgresql_using="gin")
        op.create_index("ix_search_entries_grams", "search_entries", ["grams"], postgresql_using="gin")
        return
    for statement in _FULL_TEXT:
        op.execute(statement)


def _indexes() -> None:
    op.create_table(
        "search_indexes",
        sa.Column("generation", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("is_complete", sa.Boolean, nullable=False),
        sa.Column("model", sa.String(255)),
        sa.Column("dimension", sa.Integer),
        sa.Column("cursor", Id),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("problem", sa.Text),
        sa.Column("owner", sa.String(64)),
        sa.Column("lease_until", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("generation", name="pk_search_indexes"),
    )
    in_use = sa.text("state <> 'retired'")
    op.create_index(
        "uq_search_indexes_state",
        "search_indexes",
        ["state"],
        unique=True,
        sqlite_where=in_use,
        postgresql_where=in_use,
    )
