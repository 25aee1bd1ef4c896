"""One request's part of an answer: from where the last request left it, to its end or to where it waits again."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from frontdesk.conversation.feed import AnswerReader
from frontdesk.conversation.tool_calls.models import CallState, ToolCall
from frontdesk.ports.thread_log import Event, EventType
from frontdesk.surfaces.agent_messages import AnswerMessages

_DONE = b'event: done\ndata: {"status":"%b"}\n\n'
Call = tuple[str, bool]  # its id, and whether leave was asked for


class PartReader:
    """An answer's reader that has ended, too, once the answer asks for something that is not in `known`, or `waits`
    already. `first` is taken before all.
    """

    def __init__(
        self, answer: AnswerReader, *, known: set[Call], waits: bool = False, first: Sequence[Event] = ()
    ) -> None:
        self._answer = answer
        self._known = known
        self._waits = waits
        self._first = first
        self._is_over = False
        self._ended = False
        self._ready: Callable[[], None] | None = None

    @property
    def ended(self) -> bool:
        return self._ended or self._answer.ended

    @property
    def more(self) -> bool:
        return self._answer.more

    def take(self) -> Sequence[Event]:
        events, self._first = [*self._first, *self._answer.take()], ()
        self._ended = self._is_over
        if not self._waits and any(self._is_new_call(event) for event in events):
            self._waits = True
            if self._ready is not None:  # once the step's other calls were told, which is in one go
                asyncio.get_running_loop().call_soon(self._ready)
        return events

    def on_ready(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._answer.on_ready(ready)

    async def look_around(self) -> None:
        if self._waits:
            self._is_over = True
        else:
            await self._answer.look_around()

    def close(self) -> None:
        self._answer.close()

    def _is_new_call(self, event: Event) -> bool:
        return event.type is EventType.input_requested and _key_of(event.payload) not in self._known


class PartEncoder:
    """As server-sent events. `said` is how many characters of the answer earlier requests were told."""

    def __init__(self, *, said: int, known: set[Call]) -> None:
        self._messages = AnswerMessages(said=said)
        self._messages.skip_calls(known)

    def encode(self, events: Sequence[Event]) -> bytes:
        messages = self._messages.encode(events)
        messages += self._messages.calls()
        return b"".join(b"event: message\ndata: %b\n\n" % message for message in messages)

    def end(self) -> bytes:
        failed = self._messages.is_failed or self._messages.diverged
        return _DONE % (b"failed" if failed else b"completed")


def known_calls(calls: Sequence[ToolCall]) -> set[Call]:
    """What has been asked for already: leave, of every call that there is, and a result, of those past that."""
    asked = {(call.call_id, True) for call in calls}
    unasked = {CallState.awaiting_approval, CallState.awaiting_decision}
    return asked | {(call.call_id, False) for call in calls if call.state not in unasked}


def _key_of(payload: bytes) -> Call:
    call = msgspec.json.decode(payload)
    return call["call_id"], call["state"] != "awaiting_result"
