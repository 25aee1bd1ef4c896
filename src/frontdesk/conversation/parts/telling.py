"""Parts as the log and its readers know them."""

import msgspec

from frontdesk.conversation.parts.models import Part
from frontdesk.ports.thread_log import Entry, EventType


def told_part(part: Part) -> Entry:
    told = {"key": part.key, "kind": part.kind, "step": part.step, "data": part.data}
    return EventType.part_added, msgspec.json.encode(told)
