"""What the back end behind the session gateway reports of a session: asked for again and again, since a cursor.

Owns the back end's wire. It refuses to remember: cursors are the back end's own, opaque, and kept by whoever asks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from frontdesk.ports.tool_source import ToolCallError


class ReportedPage(msgspec.Struct, frozen=True):
    """`events` are JSON objects, oldest first; those of the type `job` tell of jobs. `next` is for the next time."""

    events: Sequence[dict[str, Any]]
    next: str | None = None


class CursorRefusedError(ToolCallError):
    """The back end does not know the cursor any more: ask from the start."""


class BackEndEvents(Protocol):
    @property
    def configured(self) -> bool:
        """Whether there is a back end to ask."""
        ...

    async def ask(self, session_id: str, *, since: str | None, headers: Mapping[str, str]) -> ReportedPage:
        """Raises `ToolCallError` with a kind as tools have it, and `CursorRefusedError`."""
        ...

    async def aclose(self) -> None: ...
