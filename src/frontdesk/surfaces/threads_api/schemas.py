"""The threads API's shapes on the wire. Unknown fields of a request are ignored: they have no effect."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints

from frontdesk.conversation.drafts import IfActive
from frontdesk.conversation.executions.models import ExecutionState
from frontdesk.conversation.messages.models import FeedbackKind, MessageStatus, Role
from frontdesk.conversation.threads.models import TITLE_LENGTH
from frontdesk.conversation.tool_calls.inputs import Decision
from frontdesk.conversation.tool_calls.models import CALL_ID_LENGTH, CallState
from frontdesk.kit.ids import ID_LENGTH

T = TypeVar("T")
MessageText = Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Title = Annotated[str, StringConstraints(max_length=TITLE_LENGTH)]
Summary = Annotated[str, StringConstraints(max_length=20_000)]
CallId = Annotated[str, StringConstraints(min_length=1, max_length=CALL_ID_LENGTH)]
Comment = Annotated[str, StringConstraints(max_length=10_000)]


class _Record(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class UsageOut(_Record):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ThreadOut(_Record):
    id: str
    user_id: str
    title: str | None
    summary: str | None
    metadata: dict[str, Any]
    is_deleted: bool
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime | None
    active_execution_id: str | None


class MessageOut(_Record):
    id: str
    thread_id: str
    role: Role
    sender_id: str | None
    text: str
    status: MessageStatus
    model: str | None
    execution_id: str | None
    parent_id: str | None
    usage: UsageOut | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class ToolCallOut(BaseModel):
    """`result` of a completed call, `error` of a failed one."""

    call_id: str
    tool: str
    state: CallState
    arguments: Any
    result: Any = None
    error: Any = None
    is_cut: bool = False


class DetailedMessageOut(MessageOut):
    """With `details`, an answer has all the calls that it asked for, in order, and the sources that it names."""

    tool_calls: list[ToolCallOut] | None = None
    citations: list[dict[str, Any]] | None = None


class ThreadWithMessages(ThreadOut):
    """`messages` are the latest, newest first."""

    messages: list[DetailedMessageOut]


class ExecutionOut(_Record):
    id: str
    thread_id: str
    message_id: str
    state: ExecutionState
    attempt: int
    error_code: str | None
    error_message: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class ExecutionWithCalls(ExecutionOut):
    """`tool_calls` are all that the answer has asked for, in order."""

    tool_calls: list[ToolCallOut]


class ToolResultIn(BaseModel):
    """Either of the two: what came of the call, or why nothing did."""

    call_id: CallId
    result: Any = None
    error: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = None


class ApprovalIn(BaseModel):
    """`edit` needs the `arguments` with which the call may be made; `feedback` tells the model why it may not."""

    call_id: CallId
    decision: Decision
    arguments: dict[str, Any] | None = None
    feedback: Annotated[str, StringConstraints(max_length=10_000)] | None = None


class FeedbackOut(_Record):
    message_id: str
    kind: FeedbackKind
    comment: str | None
    created_at: datetime
    updated_at: datetime


class ProviderThreadOut(_Record):
    thread_id: str
    provider: str | None
    conversation_id: str | None
    state: dict[str, Any]
    updated_at: datetime


class ListOut(BaseModel, Generic[T]):
    items: list[T]
    page: int
    limit: int
    total: int


class ModelListOut(BaseModel):
    object: Literal["list"] = "list"
    data: list[dict[str, Any]]


class ThreadIn(BaseModel):
    title: Title | None = None
    summary: Summary | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)


class ThreadPatch(BaseModel):
    """A field that is left out stays; `metadata` is a merge patch (RFC 7396)."""

    title: Title | None = None
    summary: Summary | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    is_deleted: StrictBool = False


AttachmentId = Annotated[str, StringConstraints(max_length=ID_LENGTH)]


class MessageIn(BaseModel):
    text: MessageText
    sender_id: str | None = None
    user_id: str | None = None
    model: ModelName | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    attachments: list[AttachmentId] = Field(default_factory=list, max_length=20, description="Ids of own attachments")
    parent_id: str | None = Field(default=None, description="The message to continue from; the latest when left out")
    if_active: IfActive = IfActive.reject


class MessagePatch(BaseModel):
    text: MessageText | None = None
    status: MessageStatus | None = None


class RegenerateIn(BaseModel):
    model: ModelName | None = None
    if_active: IfActive = IfActive.reject


class FeedbackIn(BaseModel):
    kind: FeedbackKind
    comment: Comment | None = None


class ProviderThreadIn(BaseModel):
    provider: str | None = Field(default=None, max_length=255)
    conversation_id: str | None = Field(default=None, max_length=1024)
    state: dict[str, Any] = Field(default_factory=dict)
