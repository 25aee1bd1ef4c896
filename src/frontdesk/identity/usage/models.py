from datetime import date

import msgspec
from sqlalchemy import BigInteger, Column, Date, String, Table

from frontdesk.database.types import metadata
from frontdesk.identity.principal import PrincipalKind

MODEL_LENGTH = 255

usage_days = Table(
    "usage_days",
    metadata,
    Column("caller_kind", String(16), primary_key=True),
    Column("caller_id", String(64), primary_key=True),
    Column("day", Date, primary_key=True),
    Column("model", String(MODEL_LENGTH), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
)


class UsageDay(msgspec.Struct, frozen=True):
    """Whose use of which model on which day (UTC) is added up in one row."""

    caller_kind: PrincipalKind
    caller_id: str
    day: date
    model: str


class Spent(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 1

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.requests + other.requests,
        )


class CallerUsage(msgspec.Struct, frozen=True):
    """What one caller has used, all days and models together."""

    kind: PrincipalKind
    id: str
    spent: Spent
