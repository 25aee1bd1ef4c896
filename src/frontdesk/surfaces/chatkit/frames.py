"""Events of the protocol as bytes: `data: {json}` and a blank line, nulls left out."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

encode = msgspec.json.encode
_DELTA = (
    b'data: {"type":"thread.item.updated","item_id":%b,'
    b'"update":{"type":"assistant_message.content_part.text_delta","content_index":0,"delta":'
)
DELTA_END = b"}}\n\n"


def frame(kind: str, **fields: Any) -> bytes:
    return b"data: " + encode({"type": kind, **fields}) + b"\n\n"


def updated(item_id: str, kind: str, **fields: Any) -> bytes:
    return frame("thread.item.updated", item_id=item_id, update={"type": kind, **fields})


def delta_start(item_id: str) -> bytes:
    """What stands before the text of a delta, which is JSON; `DELTA_END` stands behind it."""
    return _DELTA % encode(item_id)


def error(message: str, *, allow_retry: bool) -> bytes:
    return frame("error", code="custom", message=message, allow_retry=allow_retry)


def notice(message: str, *, title: str) -> bytes:
    return frame("notice", level="warning", message=message, title=title)


def stream_options(*, allow_cancel: bool) -> bytes:
    return frame("stream_options", stream_options={"allow_cancel": allow_cancel})


def made_at(message_id: str) -> datetime:
    """When something with a UUIDv7 was made, to the millisecond (RFC 9562, 5.7)."""
    return datetime.fromtimestamp((UUID(message_id).int >> 80) / 1000, UTC)
