"""A reader for streams that end before their answer does."""

from collections.abc import Callable, Sequence

from frontdesk.conversation.feed import AnswerReader
from frontdesk.ports.thread_log import Event
from frontdesk.surfaces.chatkit.encoding import AnswerEncoder
from frontdesk.surfaces.chatkit.simple import SimpleEncoder


class UntilWaiting:
    """An answer up to where somebody must do something."""

    def __init__(self, reader: AnswerReader, encoder: "AnswerEncoder | SimpleEncoder") -> None:
        self._reader = reader
        self._encoder = encoder

    @property
    def ended(self) -> bool:
        return self._reader.ended or self._encoder.is_waiting

    @property
    def more(self) -> bool:
        return self._reader.more

    def take(self) -> Sequence[Event]:
        return self._reader.take()

    def on_ready(self, ready: Callable[[], None]) -> None:
        self._reader.on_ready(ready)

    async def look_around(self) -> None:
        await self._reader.look_around()

    def close(self) -> None:
        self._reader.close()
