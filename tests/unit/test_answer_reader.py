from typing import cast

from frontdesk.conversation.feed import AnswerReader, Feed
from frontdesk.ports.thread_log import Event, EventType

KIB = 1024


def test_what_is_stored_is_handed_out_in_pieces() -> None:
    calls = [Event(f"stored-{n}", "e", 1, EventType.tool_call_completed, b"x" * 16 * KIB) for n in range(40)]
    stored = [*calls, Event("stored-41", "e", 1, EventType.execution_completed, b"{}")]
    reader = AnswerReader(cast("Feed", None), "t", "e", follower=None)
    reader.begin_with(stored, complete=True)
    taken = []
    while reader.more:
        assert not reader.ended
        taken.append(reader.take())
        assert sum(len(event.payload) for event in taken[-1]) <= 64 * KIB
    assert [event for batch in taken for event in batch] == stored
    assert reader.ended


class _Log:
    """A follower of a log that comes back with all that it held."""

    closed = ended = False
    more = True

    def __init__(self, *batches: list[Event]) -> None:
        self._batches = list(batches)

    def take(self) -> list[Event]:
        return self._batches.pop(0) if self._batches else []

    def on_ready(self, ready: object) -> None:
        """Everything is there already."""

    def close(self) -> None:
        """Nothing is held."""


def test_what_the_log_tells_again_takes_back_what_was_stored() -> None:
    stored = [Event("stored-void-0", "e", 1, EventType.snapshot, b"{}")]
    told = [Event("1-1", "e", 1, EventType.execution_queued), Event("1-2", "e", 1, EventType.chunk, b"{}")]
    more = [Event("1-3", "e", 1, EventType.chunk, b"{}")]
    reader = AnswerReader(cast("Feed", None), "t", "e", follower=None)
    reader.begin_with(stored, complete=False)
    reader.void_before_log()
    reader.follow(_Log(told, more))
    assert reader.take() == stored
    restarted, *rest = reader.take()
    assert (restarted.type, rest) == (EventType.execution_restarted, told)
    assert reader.take() == more
    assert not reader.ended
