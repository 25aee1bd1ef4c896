"""The session gateway's shapes on the wire. Unknown fields of a request are ignored: they have no effect."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, StringConstraints, model_validator

from frontdesk.conversation.drafts import Draft, IfActive
from frontdesk.conversation.messages.models import Message, MessageStatus, Role
from frontdesk.conversation.sessions.models import HeldSession
from frontdesk.conversation.threads.models import TITLE_LENGTH
from frontdesk.ports.tool_source import Tool

Title = Annotated[str, StringConstraints(max_length=TITLE_LENGTH)]
Content = Annotated[str, StringConstraints(min_length=1, max_length=200_000)]
AgentId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class SessionIn(BaseModel):
    """`agent_id` is who answers in the session; it is kept in the metadata."""

    title: Title | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    agent_id: AgentId | None = None

    @property
    def whole_metadata(self) -> dict[str, Any]:
        return self.metadata if self.agent_id is None else {**self.metadata, "agent_id": self.agent_id}


class SessionOut(BaseModel):
    """`status` is `answering` while an answer is under way, else `active`. `thread_id` is the conversation's name in
    the threads API.
    """

    id: str
    thread_id: str
    title: str | None
    status: Literal["active", "answering"]
    created_at: datetime
    updated_at: datetime
    message_count: int
    metadata: dict[str, Any]

    @classmethod
    def of(cls, held: HeldSession) -> Self:
        thread = held.thread
        return cls(
            id=held.session.id,
            thread_id=thread.id,
            title=thread.title,
            status="active" if thread.active_execution_id is None else "answering",
            created_at=thread.created_at,
            updated_at=thread.updated_at,
            message_count=thread.message_count,
            metadata=thread.metadata,
        )


class SessionMessageIn(BaseModel):
    """`if_active` says what becomes of an answer that is under way when this message is to be answered."""

    role: Role
    content: Content
    metadata: dict[str, Any] = Field(default_factory=dict)
    respond: bool = False
    if_active: IfActive = IfActive.reject

    @model_validator(mode="after")
    def _answerable(self) -> Self:
        if self.respond and self.role is Role.assistant:
            raise ValueError("an assistant's message is not answered")
        return self

    def draft(self) -> Draft:
        return Draft(text=self.content, role=self.role, metadata=self.metadata, if_active=self.if_active)


class SessionMessageOut(BaseModel):
    """`execution_id` names the answer that is, or that a message is given."""

    id: str
    role: Role
    content: str
    status: MessageStatus
    execution_id: str | None
    created_at: datetime
    metadata: dict[str, Any]

    @classmethod
    def of(cls, message: Message) -> Self:
        return cls(
            id=message.id,
            role=message.role,
            content=message.text,
            status=message.status,
            execution_id=message.execution_id,
            created_at=message.created_at,
            metadata=message.metadata,
        )


class SessionMessagesOut(BaseModel):
    """Oldest first. `next` is the `after` of the next page, null on the last one."""

    items: list[SessionMessageOut]
    next: str | None


class ToolOut(BaseModel):
    """`method` and `path` are null for a tool that is no request to the back end."""

    name: str
    description: str
    input_schema: dict[str, Any]
    method: str | None
    path: str | None
    streaming: bool

    @classmethod
    def of(cls, tool: Tool) -> Self:
        route = tool.route
        return cls(
            name=tool.name,
            description=tool.description,
            input_schema=dict(tool.parameters),
            method=None if route is None else route.method,
            path=None if route is None else route.path,
            streaming=route is not None and route.streaming,
        )


class ToolsOut(BaseModel):
    tools: list[ToolOut]


class ToolResultOut(BaseModel):
    """What a tool that is no request to the back end gave. `is_error` when the tool itself says that it failed."""

    result: Any
    is_error: bool
