"""Path and header parameters that several routes take."""

from typing import Annotated

from fastapi import Depends, Header, Path, Query

from frontdesk.http.parameters import known_id


async def _thread_id(thread_id: Annotated[str, Path()]) -> str:
    return known_id(thread_id)


async def _message_id(message_id: Annotated[str, Path()]) -> str:
    return known_id(message_id)


async def _execution_id(execution_id: Annotated[str, Path()]) -> str:
    return known_id(execution_id)


ThreadId = Annotated[str, Depends(_thread_id)]
MessageId = Annotated[str, Depends(_message_id)]
ExecutionId = Annotated[str, Depends(_execution_id)]
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID")]
Detailed = Annotated[bool, Query(description="Answers with their `tool_calls` and `citations`")]
