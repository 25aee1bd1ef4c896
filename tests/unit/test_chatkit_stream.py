"""When the store is away or the server ends in mid-answer, the widget is told, and not cut off."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from frontdesk.database import open_database
from frontdesk.errors import UnavailableError
from frontdesk.http.event_stream import SERVER_WIRE, OpenStreams
from frontdesk.http.revocations import Revocations
from frontdesk.identity.standings import Standings
from frontdesk.kit.clock import SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.thread_log import Event
from frontdesk.surfaces.chatkit.course import Place
from frontdesk.surfaces.chatkit.encoding import AnswerEncoder, AnswerStream
from frontdesk.surfaces.chatkit.frames import made_at
from harness.chatkit_client import frames_of


class Reader:
    """Has nothing; `trouble` is what looking elsewhere meets."""

    ended = more = is_closed = False

    def __init__(self, trouble: Callable[[], None]) -> None:
        self._trouble = trouble

    def take(self) -> Sequence[Event]:
        return ()

    def on_ready(self, ready: Callable[[], None]) -> None:
        """It never is."""

    async def look_around(self) -> None:
        self._trouble()

    def close(self) -> None:
        self.is_closed = True


class Wire:
    paused = lost = False

    def __init__(self) -> None:
        self.written = b""

    def write(self, body: bytes) -> None:
        self.written += body

    def abort(self) -> None:
        raise AssertionError("the connection is not to be dropped")

    reset = abort

    def watch(self, changed: Callable[[], None]) -> None:
        """It never changes."""


def unavailable() -> None:
    raise UnavailableError


@pytest.mark.parametrize("how", ["the store is away", "the server ends"])
async def test_the_widget_is_told_that_the_stream_is_over(sqlite_url: str, how: str) -> None:
    database, clock = open_database(sqlite_url, pool_size=1, timeout=5), SystemClock()
    revocations = Revocations(database, Standings(database, clock), clock)
    streams, wire, sent = OpenStreams(revocations, measurements=Measurements(), patience=1), Wire(), list[Any]()
    reader = Reader(unavailable if how == "the store is away" else streams.send_away)
    message_id = new_id()
    place = Place(thread_id=new_id(), message_id=message_id, created_at=made_at(message_id))

    async def send(message: Any) -> None:
        sent.append(message)

    await AnswerStream(reader, AnswerEncoder(place), streams)({SERVER_WIRE: wire}, None, send)  # type: ignore[arg-type]
    (told,) = frames_of(wire.written.decode())
    assert (told["type"], told["allow_retry"]) == ("error", False)
    assert "load the thread again" in told["message"]
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
    assert (reader.is_closed, len(streams)) == (True, 0)
    await database.aclose()
