"""What an agent shows beside its text, as parts of its answer."""

import re
from typing import Any

import msgspec

from frontdesk.agents.events import Citation, Effect, Image, Progress, Widget
from frontdesk.kit.ids import new_id
from frontdesk.ports.language_model import AnswerPart, PartKind

PART_EVENTS = (Widget, Citation, Image, Effect, Progress)
MOST_BYTES = 65_536
_KEY = re.compile(r"[A-Za-z0-9_-]{1,36}")
PartEvent = Widget | Citation | Image | Effect | Progress


def answer_part(event: PartEvent) -> AnswerPart:
    """Raises `TypeError` for what is not JSON, and `ValueError` for a bad key and for more than `MOST_BYTES`."""
    part = _part(event)
    encoded = msgspec.json.encode(part.data)
    if len(encoded) > MOST_BYTES:
        raise ValueError(f"a {part.kind} of {len(encoded)} bytes is too large")
    if _KEY.fullmatch(part.key) is None:
        raise ValueError(f"{part.key!r} is no key of a part")
    # As JSON has it: what the agent holds may change later.
    return msgspec.structs.replace(part, data=msgspec.json.decode(encoded.replace(b"\\u0000", b"\\ufffd")))


def _part(event: PartEvent) -> AnswerPart:
    if isinstance(event, Widget):
        kind = PartKind.widget if event.item_id is None else PartKind.replacement
        return AnswerPart(
            kind,
            event.key if event.item_id is None else new_id(),
            _given(widget=event.widget, copy_text=event.copy_text, item_id=event.item_id),
        )
    if isinstance(event, Citation):
        return AnswerPart(PartKind.citation, new_id(), {"source": _source(event), **_given(index=event.index)})
    if isinstance(event, Image):
        return AnswerPart(PartKind.image, event.key, {"url": event.url})
    if isinstance(event, Effect):
        return AnswerPart(PartKind.effect, new_id(), {"name": event.name, "data": event.data})
    return AnswerPart(PartKind.progress, new_id(), _given(text=event.text, icon=event.icon))


def _source(event: Citation) -> dict[str, Any]:
    told = _given(title=event.title, description=event.description)
    if event.url is not None:
        return {"type": "url", "url": event.url, **told}
    return {"type": "file", "filename": event.filename or event.title, **told}


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
