"""Interfaces and their sessions on the wire, in camelCase. Unknown fields of a request are ignored: they have no
effect.
"""

from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.tool_calls.models import CallState
from frontdesk.public_chat.interfaces.models import (
    ChatInterface,
    CoverType,
    InterfaceStatus,
    PersistenceType,
    WidgetPosition,
    WidgetState,
)
from frontdesk.public_chat.sessions.models import ExecutionStatus, SessionStatus, Standing
from frontdesk.public_chat.sessions.transcript import Said
from frontdesk.surfaces.brought import AttachmentOut, CitationOut, citations_out
from frontdesk.surfaces.camel_case import CamelModel
from frontdesk.surfaces.chat_interfaces_api import fields

T = TypeVar("T")


class PromptOut(CamelModel):
    text: fields.PromptText
    icon: fields.Label | None = None


class _Chosen(CamelModel):
    """What an owner may choose; the same going in and coming out."""

    title: fields.Title = ""
    description: fields.Text = ""
    cover_type: CoverType = CoverType.color
    cover_value: fields.Cover = "#f4f4f5"
    icon_url: fields.Address | None = None
    primary_color: fields.Color = "#2563eb"
    font_family: fields.Font = "system-ui, sans-serif"
    border_radius: Annotated[int, Field(ge=0, le=64)] = 12
    welcome_message: fields.Text = ""
    placeholder_text: fields.Label = ""
    suggested_prompts: Annotated[list[PromptOut], Field(max_length=fields.MOST_PROMPTS)] = []
    allow_file_upload: bool = False
    max_files: Annotated[int, Field(ge=1, le=20)] = 3
    max_file_size_mb: Annotated[int, Field(ge=1, le=100)] = 10
    allowed_file_types: Annotated[list[fields.FileType], Field(max_length=50)] = [
        "application/pdf",
        "image/*",
        "text/*",
    ]
    persistence_type: PersistenceType = PersistenceType.session
    session_timeout_minutes: Annotated[int, Field(ge=0, le=525_600)] = 60
    widget_position: WidgetPosition = WidgetPosition.bottom_right
    widget_button_icon: fields.Icon | None = None
    widget_button_text: fields.Label | None = None
    widget_initial_state: WidgetState = WidgetState.collapsed
    rate_limit_messages: Annotated[int, Field(ge=1, le=10_000)] = 10
    rate_limit_window_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    allowed_origins: fields.Origins = []
    locale: fields.Locale = "en"
    identity_jwks: fields.Jwks | None = None


class InterfaceIn(_Chosen):
    """Without a `slug` one is made of the name. `identityJwks` is a JWK set whose keys sign who visitors are."""

    name: fields.Name
    agent_id: fields.Id
    slug: fields.Slug | None = None

    @model_validator(mode="after")
    def _has_a_cover(self) -> Self:
        fields.check_cover(self.cover_type, self.cover_value)
        return self


class InterfacePut(InterfaceIn):
    """A field that is left out stays. A cover's type and value are given together."""

    name: fields.Name = "unchanged"
    agent_id: fields.Id = ""

    @model_validator(mode="after")
    def _has_a_cover(self) -> Self:
        given = {"cover_type", "cover_value"} & self.model_fields_set
        if len(given) == 1:
            raise ValueError("coverType and coverValue are given together")
        fields.check_cover(self.cover_type, self.cover_value)
        return self

    def changes(self) -> dict[str, Any]:
        found = self.model_dump(exclude_unset=True)
        if found.get("slug", "") is None:
            del found["slug"]
        return found


class InterfaceOut(_Chosen):
    """`hasIdentitySecret` is all that is told of the secret."""

    id: str
    name: str
    slug: str
    agent_id: str
    status: InterfaceStatus
    has_identity_secret: bool
    session_count: int
    message_count: int
    last_activity_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, interface: ChatInterface) -> Self:
        values = {name: getattr(interface, name) for name in cls.model_fields if name != "has_identity_secret"}
        return cls.model_validate({**values, "has_identity_secret": interface.identity_secret is not None})


class PageOut(CamelModel, Generic[T]):
    items: list[T]
    page: int
    limit: int
    total: int


class IdentitySecretOut(CamelModel):
    """Told once, and not to be had again."""

    identity_secret: str


class SessionOut(CamelModel):
    """`currentExecutionId` while an answer is under way. `identity` is who the site says that the visitor is."""

    id: str
    thread_id: str | None
    status: SessionStatus
    execution_status: ExecutionStatus
    current_execution_id: str | None
    identity: dict[str, str | None] | None
    referrer: str | None
    message_count: int
    duration_seconds: int
    created_at: datetime
    last_activity_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, standing: Standing) -> Self:
        session = standing.session
        known = session.identity_subject
        who = {"sub": known, "name": session.identity_name, "email": session.identity_email}
        return cls(
            id=session.id,
            thread_id=session.thread_id,
            status=standing.status,
            execution_status=standing.execution_status,
            current_execution_id=standing.current_execution_id,
            identity=None if known is None else who,
            referrer=session.referrer,
            message_count=session.message_count,
            duration_seconds=session.duration_seconds,
            created_at=session.created_at,
            last_activity_at=session.last_activity_at,
            ended_at=session.ended_at,
        )


class ToolCallOut(CamelModel):
    id: str
    name: str
    status: CallState
    arguments: str
    result: str | None


class TranscriptMessageOut(CamelModel):
    id: str
    role: Role
    content: str
    status: MessageStatus
    timestamp: datetime
    execution_id: str | None
    attachments: list[AttachmentOut]
    tool_calls: list[ToolCallOut]
    citations: list[CitationOut]


class TranscriptOut(CamelModel):
    """Oldest first. With `hasMore`, `before` the first one's id gives the earlier ones."""

    messages: list[TranscriptMessageOut]
    has_more: bool

    @classmethod
    def of(cls, said: Said) -> Self:
        return cls(messages=[_message(message, said) for message in said.messages], has_more=said.has_more)


def _message(message: Message, said: Said) -> TranscriptMessageOut:
    calls = said.calls.get(message.execution_id or "", ()) if message.role is Role.assistant else ()
    return TranscriptMessageOut(
        id=message.id,
        role=message.role,
        content=message.text,
        status=message.status,
        timestamp=message.created_at,
        execution_id=message.execution_id,
        attachments=[
            AttachmentOut.of(one, said.links.get(one.blob_key or "")) for one in said.sources.get(message.id, ())
        ],
        tool_calls=[
            ToolCallOut(
                id=call.call_id, name=call.tool, status=call.state, arguments=call.arguments, result=call.content
            )
            for call in calls
        ],
        citations=citations_out(said.parts.get(message.id, ())),
    )


class ReferrerOut(CamelModel):
    referrer: str
    sessions: int


class AnalyticsOut(CamelModel):
    """`messagesByHour` has 24 counts, one for each hour of the day in UTC."""

    since: datetime
    until: datetime
    sessions: int
    unique_visitors: int
    messages: int
    messages_per_session: float
    duration_seconds: float
    top_referrers: list[ReferrerOut]
    messages_by_hour: list[int]
