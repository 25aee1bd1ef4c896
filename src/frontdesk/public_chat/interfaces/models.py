from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from frontdesk.database.types import Id, Json, UtcDateTime, metadata

NAME_LENGTH = 200
SLUG_LENGTH = 64
TITLE_LENGTH = 200
URL_LENGTH = 2048
LABEL_LENGTH = 200

chat_interfaces = Table(
    "chat_interfaces",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner_id", Id, nullable=False),
    Column("agent_id", Id, nullable=False),
    Column("slug", String(SLUG_LENGTH), nullable=False, unique=True),
    Column("name", String(NAME_LENGTH), nullable=False),
    Column("status", String(16), nullable=False),
    Column("title", String(TITLE_LENGTH), nullable=False),
    Column("description", Text, nullable=False),
    Column("cover_type", String(16), nullable=False),
    Column("cover_value", String(URL_LENGTH), nullable=False),
    Column("icon_url", String(URL_LENGTH)),
    Column("primary_color", String(16), nullable=False),
    Column("font_family", String(LABEL_LENGTH), nullable=False),
    Column("border_radius", Integer, nullable=False),
    Column("welcome_message", Text, nullable=False),
    Column("placeholder_text", String(LABEL_LENGTH), nullable=False),
    Column("suggested_prompts", Json, nullable=False),
    Column("allow_file_upload", Boolean, nullable=False),
    Column("max_files", Integer, nullable=False),
    Column("max_file_size_mb", Integer, nullable=False),
    Column("allowed_file_types", Json, nullable=False),
    Column("persistence_type", String(16), nullable=False),
    Column("session_timeout_minutes", Integer, nullable=False),
    Column("widget_position", String(16), nullable=False),
    Column("widget_button_icon", String(URL_LENGTH)),
    Column("widget_button_text", String(LABEL_LENGTH)),
    Column("widget_initial_state", String(16), nullable=False),
    Column("rate_limit_messages", Integer, nullable=False),
    Column("rate_limit_window_seconds", Integer, nullable=False),
    Column("allowed_origins", Json, nullable=False),
    Column("locale", String(35), nullable=False),
    Column("identity_secret", String(128)),
    Column("identity_jwks", Json),
    Column("session_count", Integer, nullable=False),
    Column("message_count", Integer, nullable=False),
    Column("last_activity_at", UtcDateTime),
    Column("is_deleted", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index("ix_chat_interfaces_owner_id_id", "owner_id", "id"),
)

# What visitors sent, by the hour: figures over any time without a look at the messages.
chat_interface_hours = Table(
    "chat_interface_hours",
    metadata,
    Column("interface_id", Id, ForeignKey("chat_interfaces.id", ondelete="CASCADE"), primary_key=True),
    Column("hour", UtcDateTime, primary_key=True),
    Column("messages", Integer, nullable=False),
)


class InterfaceStatus(StrEnum):
    draft = "draft"
    published = "published"


class CoverType(StrEnum):
    image = "image"
    color = "color"
    gradient = "gradient"


class PersistenceType(StrEnum):
    """How long a visitor's browser keeps the way back into a session."""

    session = "session"
    local_storage = "local_storage"


class WidgetPosition(StrEnum):
    bottom_right = "bottom-right"
    bottom_left = "bottom-left"


class WidgetState(StrEnum):
    collapsed = "collapsed"
    expanded = "expanded"


class SuggestedPrompt(msgspec.Struct, frozen=True, omit_defaults=True):
    text: str
    icon: str | None = None


class Appearance(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner chooses about an interface, with what it is when nothing is chosen.

    `border_radius` is in pixels. A `session_timeout_minutes` of 0 is none. `allowed_origins` are origins as browsers
    send them (RFC 6454, 6.2); none stands for any. `identity_jwks` is a JWK set (RFC 7517) of public keys.
    """

    name: str
    agent_id: str
    title: str = ""
    description: str = ""
    cover_type: CoverType = CoverType.color
    cover_value: str = "#f4f4f5"
    icon_url: str | None = None
    primary_color: str = "#2563eb"
    font_family: str = "system-ui, sans-serif"
    border_radius: int = 12
    welcome_message: str = ""
    placeholder_text: str = ""
    suggested_prompts: list[SuggestedPrompt] = []
    allow_file_upload: bool = False
    max_files: int = 3
    max_file_size_mb: int = 10
    allowed_file_types: list[str] = msgspec.field(default_factory=lambda: ["application/pdf", "image/*", "text/*"])
    persistence_type: PersistenceType = PersistenceType.session
    session_timeout_minutes: int = 60
    widget_position: WidgetPosition = WidgetPosition.bottom_right
    widget_button_icon: str | None = None
    widget_button_text: str | None = None
    widget_initial_state: WidgetState = WidgetState.collapsed
    rate_limit_messages: int = 10
    rate_limit_window_seconds: int = 60
    allowed_origins: list[str] = []
    locale: str = "en"
    identity_jwks: dict[str, Any] | None = None


class ChatInterface(Appearance, frozen=True, kw_only=True):
    """`message_count` counts what visitors sent. A deleted one waits for the rest of its sessions to be erased."""

    id: str
    owner_id: str
    slug: str
    status: InterfaceStatus
    identity_secret: str | None
    session_count: int
    message_count: int
    last_activity_at: datetime | None
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
