from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Column, ForeignKey, Table

from frontdesk.database.types import Id, UtcDateTime, metadata

refresh_families = Table(
    "refresh_families",
    metadata,
    Column("id", Id, primary_key=True),
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("current_jti", Id, nullable=False),
    Column("previous_jti", Id),
    Column("access_jti", Id, nullable=False),
    Column("issued_at", UtcDateTime, nullable=False),
    Column("rotated_at", UtcDateTime),
    Column("open_until", UtcDateTime),
    Column("closed_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
)


class TokenType(StrEnum):
    access = "access"
    refresh = "refresh"


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Times are whole seconds since 1970 (RFC 7519's NumericDate). `fam` is a refresh token's family."""

    sub: str
    iss: str
    aud: str | None = None
    iat: int
    nbf: int
    exp: int
    jti: str
    ver: int
    typ: TokenType
    fam: str | None = None


class TokenPair(msgspec.Struct, frozen=True, kw_only=True):
    """`expires_in` is the access token's life in seconds (RFC 6749, 5.1)."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105  a type's name
    expires_in: int


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One sign-in and the tokens that came of it: all that is needed to sign the current pair again.

    A rotation is open until nobody has asked for it for a while; before `closed_at` no answer with the new pair leaves.
    """

    id: str
    user_id: str
    current_jti: str
    previous_jti: str | None
    access_jti: str
    issued_at: datetime
    rotated_at: datetime | None
    open_until: datetime | None
    closed_at: datetime | None
    revoked_at: datetime | None
    expires_at: datetime
