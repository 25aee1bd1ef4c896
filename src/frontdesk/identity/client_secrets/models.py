import msgspec
from sqlalchemy import Column, Table

from frontdesk.database.types import Id, UtcDateTime, metadata

revoked_client_secrets = Table(
    "revoked_client_secrets",
    metadata,
    Column("id", Id, primary_key=True),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)


class SecretClaims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Times are whole seconds since 1970. `ver` is the user's token version: it moves on when their logins end."""

    sub: str
    iat: int
    exp: int
    iss: str
    aud: str
    jti: str
    ver: int
