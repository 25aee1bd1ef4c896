"""Messages with what answers are made of beside their text."""

from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import Request

from frontdesk.conversation.messages.models import Message, Role
from frontdesk.conversation.messages.service import Details
from frontdesk.conversation.tool_calls.telling import told
from frontdesk.http.services import services
from frontdesk.identity.principal import Principal
from frontdesk.ports.language_model import PartKind


async def with_details(
    request: Request, caller: Principal, thread_id: str, *, shown: Sequence[Message]
) -> list[dict[str, Any]]:
    details = await services(request).messages.details(caller, thread_id, shown)
    return [_detailed(message, details) for message in shown]


def _detailed(message: Message, details: Details) -> dict[str, Any]:
    fields = msgspec.structs.asdict(message)
    if message.role is not Role.assistant:
        return fields
    parts = details.parts.get(message.id, ())
    return {
        **fields,
        "tool_calls": [told(call) for call in details.calls.get(message.execution_id or "", ())],
        "citations": [part.data for part in parts if part.kind is PartKind.citation],
    }
