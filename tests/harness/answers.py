"""What scripted answers say, and what readers show of the events that bring them."""

from collections.abc import Sequence
from typing import Any

import msgspec

from frontdesk.ports.thread_log import Event, EventType


def script(key: str, **options: Any) -> str:
    """A model's name that makes the provider say `tokens(5)`, unless the options tell otherwise."""
    return "scripted?" + "&".join(f"{name}={value}" for name, value in {"tokens": 5, **options, "key": key}.items())


def tokens(count: int) -> str:
    return "".join(f"t{number} " for number in range(count))


def kinds(events: Sequence[Event]) -> list[str]:
    """The events' types, runs of chunks as one."""
    found: list[str] = []
    for event in events:
        if found[-1:] != ["chunk"] or event.type is not EventType.chunk:
            found.append(event.type.value)
    return found


def shown(events: Sequence[Event]) -> str:
    """What a reader shows in the end: a restart makes its text void, a snapshot replaces it."""
    text = ""
    for event in events:
        if event.type is EventType.execution_restarted:
            text = ""
        elif event.type is EventType.snapshot:
            text = msgspec.json.decode(event.payload)["text"]
        elif event.type is EventType.chunk:
            choices = [msgspec.json.decode(part)["choices"] for part in event.parts]
            text += "".join(choice[0]["delta"].get("content") or "" for choice in choices if choice)
    return text
