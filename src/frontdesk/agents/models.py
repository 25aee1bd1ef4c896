from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, Float, Index, String, Table, Text

from frontdesk.database.types import Id, Json, UtcDateTime, metadata

NAME_LENGTH = 200
RUNTIME_LENGTH = 64

agents = Table(
    "agents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner_id", Id, nullable=False),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("runtime", String(RUNTIME_LENGTH)),
    Column("model", String(255)),
    Column("instructions", Text, nullable=False),
    Column("tools", Json, nullable=False),
    Column("temperature", Float),
    Column("limits", Json, nullable=False),
    Column("users", Json),
    Column("metadata", Json, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_agents_owner_id_id", "owner_id", "id"),
)


class AgentKind(StrEnum):
    """`model`: a provider's model with our tools. `python` and `remote`: what the configuration names `runtime`."""

    model = "model"
    python = "python"
    remote = "remote"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one answer: how often the model is asked, for how many seconds it may work, and its completion tokens.

    Waiting for a person counts for nothing.
    """

    max_steps: int = 10
    max_seconds: float = 300.0
    max_tokens: int | None = None


class Agent(msgspec.Struct, frozen=True, kw_only=True):
    """`users` are the ids of those who may use it beside its owner: nobody when empty, everybody when None."""

    id: str
    owner_id: str
    name: str
    kind: AgentKind
    runtime: str | None
    model: str | None
    instructions: str
    tools: list[str]
    temperature: float | None
    limits: Limits
    users: list[str] | None
    metadata: dict[str, Any]
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
