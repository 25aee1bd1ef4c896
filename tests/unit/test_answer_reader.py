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
