"""Public chats on the wire, in camelCase. Unknown fields of a request are ignored: they have no effect."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import StringConstraints

from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.parts.models import Part
from frontdesk.conversation.tool_calls.models import CallState, ToolCall
from frontdesk.public_chat.interfaces.models import CoverType, PersistenceType, WidgetPosition, WidgetState
from frontdesk.public_chat.sessions.identity import MAX_TOKEN_LENGTH
from frontdesk.public_chat.sessions.models import ExecutionStatus, SessionStatus
from frontdesk.public_chat.sessions.opening import Opened
from frontdesk.public_chat.sessions.transcript import Said
from frontdesk.surfaces.brought import AttachmentOut, CitationOut, attachments_out, citations_out
from frontdesk.surfaces.camel_case import CamelModel
from frontdesk.surfaces.public_chat.file_schemas import Attachments

Token = Annotated[str, StringConstraints(max_length=100)]
CALL_STATUS = {
    CallState.completed: "completed",
    CallState.failed: "failed",
    CallState.running: "running",
}


class PromptOut(CamelModel):
    text: str
    icon: str | None = None


class PublicInterfaceOut(CamelModel):
    """What a page needs to show the chat, and nothing else of it."""

    slug: str
    title: str
    description: str
    cover_type: CoverType
    cover_value: str
    icon_url: str | None
    primary_color: str
    font_family: str
    border_radius: int
    welcome_message: str
    placeholder_text: str
    suggested_prompts: list[PromptOut]
    allow_file_upload: bool
    max_files: int
    max_file_size_mb: int
    allowed_file_types: list[str]
    persistence_type: PersistenceType
    widget_position: WidgetPosition
    widget_button_icon: str | None
    widget_button_text: str | None
    widget_initial_state: WidgetState
    locale: str


class SessionIn(CamelModel):
    """`identity` is a token signed by the site that knows its visitor."""

    browser_fingerprint: Annotated[str, StringConstraints(max_length=500)] | None = None
    referrer: Annotated[str, StringConstraints(max_length=2_048)] | None = None
    persistence_token: Token | None = None
    identity: Annotated[str, StringConstraints(max_length=MAX_TOKEN_LENGTH)] | None = None


class ToolCallOut(CamelModel):
    """What a tool was told and told is its owner's business."""

    id: str
    name: str
    status: str

    @classmethod
    def of(cls, call: ToolCall) -> Self:
        return cls(id=call.call_id, name=call.tool, status=CALL_STATUS.get(call.state, "waiting"))


class MessageOut(CamelModel):
    id: str
    role: Role
    content: str
    status: MessageStatus
    timestamp: datetime
    attachments: list[AttachmentOut]
    tool_calls: list[ToolCallOut]
    citations: list[CitationOut]

    @classmethod
    def of(
        cls, message: Message, calls: Sequence[ToolCall], *, attachments: Sequence[AttachmentOut], parts: Sequence[Part]
    ) -> Self:
        return cls(
            id=message.id,
            role=message.role,
            content=message.text,
            status=message.status,
            timestamp=message.created_at,
            attachments=list(attachments),
            tool_calls=[ToolCallOut.of(call) for call in calls],
            citations=citations_out(parts),
        )


class MessagesOut(CamelModel):
    """Oldest first, without the answer under way. With `hasMore`, `before` the first one's id gives earlier ones."""

    messages: list[MessageOut]
    has_more: bool

    @classmethod
    def of(cls, said: Said) -> Self:
        return cls(messages=messages_out(said), has_more=said.has_more)


def messages_out(said: Said) -> list[MessageOut]:
    return [_message(message, said) for message in said.messages]


def _message(message: Message, said: Said) -> MessageOut:
    calls = said.calls.get(message.execution_id or "", ()) if message.role is Role.assistant else ()
    return MessageOut.of(
        message,
        calls,
        attachments=attachments_out(message, said),
        parts=said.parts.get(message.id, ()),
    )


class SessionOpenedOut(CamelModel):
    """The tokens are told here and never again. `existingMessages` are there when an earlier session goes on."""

    session_id: str
    session_token: str
    thread_id: str | None
    persistence_token: str | None = None
    existing_messages: list[MessageOut] | None = None
    execution_status: ExecutionStatus
    current_execution_id: str | None

    @classmethod
    def of(cls, opened: Opened) -> Self:
        session = opened.standing.session
        there: dict[str, Any] = {}
        if opened.persistence_token is not None:
            there["persistence_token"] = opened.persistence_token
        if opened.said is not None:
            there["existing_messages"] = messages_out(opened.said)
        return cls(
            session_id=session.id,
            session_token=opened.session_token,
            thread_id=session.thread_id,
            execution_status=opened.standing.execution_status,
            current_execution_id=opened.standing.current_execution_id,
            **there,
        )


class MessageIn(CamelModel):
    """`attachments` are read before the answer begins."""

    session_token: Token
    message: Annotated[str, StringConstraints(min_length=1, max_length=50_000, pattern=r"\S")]
    attachments: Attachments = []


class SentOut(CamelModel):
    execution_id: str
    thread_id: str
    status: Literal["running"] = "running"


class CancelIn(CamelModel):
    """Without a body, the token is in `X-Session-Token`."""

    session_token: Token | None = None


class CancelledOut(CamelModel):
    execution_id: str
    status: str


class SessionEndedOut(CamelModel):
    session_id: str
    status: SessionStatus
