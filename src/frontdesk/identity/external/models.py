from sqlalchemy import Column, ForeignKey, String, Table

from frontdesk.database.types import Id, UtcDateTime, metadata

NAME_LENGTH = 255

external_identities = Table(
    "external_identities",
    metadata,
    Column("issuer", String(NAME_LENGTH), primary_key=True),
    Column("subject", String(NAME_LENGTH), primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
)
