"""All WebSockets of this process, and the one task that looks after them: heartbeats, peers that take nothing,
announcements that were lost.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from frontdesk.conversation.threads.repository import count_messages
from frontdesk.database import Database
from frontdesk.errors import TooManyRequestsError, UnavailableError
from frontdesk.http.revocations import Revocations
from frontdesk.http.socket_server import SocketWire
from frontdesk.identity.holders import Holder
from frontdesk.identity.limits import address_site
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.observability.measurements import Measurements

_ROUND_SECONDS = 2.0
_PING_SECONDS = 20.0
_SILENT_SECONDS = 45.0  # after which a peer that was pinged is taken for dead
_LOOK_SECONDS = 15.0
_COUNT_SECONDS = 10.0
_AT_ONCE = 500  # rows that one query asks for


class OpenSocket(Protocol):
    """A socket as it is looked after. Times are the loop's; `place` is who or where it is counted for."""

    place: str
    wire: SocketWire
    blocked_since: float | None
    """Since when the peer has not taken what was written for it."""
    wrote_at: float

    @property
    def holder(self) -> Holder: ...

    @property
    def thread_id(self) -> str: ...

    @property
    def is_idle(self) -> bool:
        """Whether no answer is under way."""
        ...

    def wake(self) -> None:
        """Look whether an answer went on elsewhere."""
        ...

    def note_count(self, count: int) -> None:
        """How many messages its thread has."""
        ...

    def cut(self) -> None:
        """End it, since its peer takes nothing."""
        ...

    def revoke(self) -> None:
        """As `Held` has it."""
        ...

    def readmit(self, holder: Holder) -> None:
        """As `Held` has it."""
        ...

    def send_away(self) -> None:
        """End it: its peer is to come again, here or elsewhere."""
        ...


class OpenSockets:
    """`patience` is in seconds: for peers that take nothing, and, as `message_seconds`, for messages that never end.
    `per_caller` is how many sockets each may have in this process.
    """

    def __init__(
        self,
        database: Database,
        revocations: Revocations,
        *,
        measurements: Measurements,
        patience: float,
        message_seconds: float,
        per_caller: int,
    ) -> None:
        self._database = database
        self._revocations = revocations
        self._measurements = measurements
        self._patience = patience
        self._message_seconds = message_seconds
        self._per_caller = per_caller
        self._sockets: set[OpenSocket] = set()
        self._counted: Counter[str] = Counter()
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._sockets)

    async def open(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def aclose(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def send_away(self) -> None:
        for socket in tuple(self._sockets):
            socket.send_away()

    def add(self, socket: OpenSocket) -> None:
        """Raises `TooManyRequestsError` when its caller has too many already."""
        if self._counted[socket.place] >= self._per_caller:
            raise TooManyRequestsError(f"At most {self._per_caller} sockets at once", retry_after=1)
        self._counted[socket.place] += 1
        self._sockets.add(socket)
        self._revocations.add(socket)

    def remove(self, socket: OpenSocket) -> None:
        self._sockets.discard(socket)
        self._revocations.remove(socket)
        self._counted[socket.place] -= 1
        if not self._counted[socket.place]:
            del self._counted[socket.place]

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        interval = min(_ROUND_SECONDS, self._patience / 4)
        counted_at = loop.time()
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for socket in tuple(self._sockets):
                self._look_after(socket, now)
            if now - counted_at < _COUNT_SECONDS:
                continue
            with suppress(UnavailableError):  # a later round asks again
                await self._check_counts()
            counted_at = now

    def _look_after(self, socket: OpenSocket, now: float) -> None:
        wire = socket.wire
        if socket.blocked_since is not None:
            if now - socket.blocked_since > self._patience:
                self._measurements.stream_cut()
                socket.cut()
            return
        if wire.partial_since is not None and now - wire.partial_since > self._message_seconds:
            wire.close(1008, "The message did not come in time")
        elif now - wire.heard_at > _SILENT_SECONDS:
            wire.reset()
        elif now - wire.heard_at > _PING_SECONDS:
            wire.ping()
        if not socket.is_idle and now - socket.wrote_at >= _LOOK_SECONDS:
            socket.wake()

    async def _check_counts(self) -> None:
        thread_ids = sorted({one.thread_id for one in self._sockets if one.thread_id})
        counts: dict[str, int] = {}
        for some in _lots(thread_ids):
            counts |= await self._database.read(lambda connection: count_messages(connection, some))  # noqa: B023
        for socket in tuple(self._sockets):
            if (count := counts.get(socket.thread_id)) is not None:
                socket.note_count(count)


def place_of(principal: Principal, address: str) -> str:
    """What a caller's sockets are counted for: an account, or where somebody without one comes from."""
    return principal.id if principal.kind is PrincipalKind.user else address_site(address)


def _lots(items: list[str]) -> Sequence[list[str]]:
    return [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]
