from datetime import datetime
from enum import StrEnum

import msgspec
from sqlalchemy import Boolean, Column, Integer, SmallInteger, String, Table

from frontdesk.database.types import Id, Json, UtcDateTime, metadata

USERNAME_LENGTH = 64
USERNAME_KEY_LENGTH = 3 * USERNAME_LENGTH  # case folding makes at most three characters of one
TIER_LENGTH = 32
EMAIL_LENGTH = 254  # RFC 5321, 4.5.3.1.3

users = Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("username", String(USERNAME_LENGTH), nullable=False),
    Column("username_key", String(USERNAME_KEY_LENGTH), nullable=False, unique=True),
    Column("email", String(EMAIL_LENGTH)),
    Column("role", String(16), nullable=False),
    Column("allowed_products", Json),
    Column("allowed_agents", Json),
    Column("token_version", Integer, nullable=False),
    Column("is_active", Boolean, nullable=False),
    Column("password_hash", String(255), nullable=False),
    Column("tier", String(TIER_LENGTH)),
    # 1 for the account that found the table empty, else NULL: of two that both did, the unique index admits one.
    Column("founder", SmallInteger, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)


class Role(StrEnum):
    user = "user"
    admin = "admin"


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An allow list of None permits everything, a tier of None is the default one. The password's hash stays out, so
    that no record can leak it.
    """

    id: str
    username: str
    email: str | None
    role: Role
    allowed_products: tuple[str, ...] | None
    allowed_agents: tuple[str, ...] | None
    token_version: int
    is_active: bool
    created_at: datetime
    updated_at: datetime
    tier: str | None = None


class Credentials(msgspec.Struct, frozen=True):
    user: User
    password_hash: str


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it was asked for; `users.rules` says what is acceptable."""

    username: str
    password: str
    email: str | None = None
    role: Role = Role.user
    allowed_products: tuple[str, ...] | None = None
    allowed_agents: tuple[str, ...] | None = None
