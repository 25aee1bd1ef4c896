"""An answer while it streams in: each read's bytes become chunks at once, in the read's own callback."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from frontdesk.adapters.http_client import HttpError, Response
from frontdesk.adapters.language_model import openai_wire
from frontdesk.kit.server_sent_events import EventParser, EventTooLargeError
from frontdesk.ports.language_model import ModelCallError, ModelChunks

Take = Callable[[ModelChunks], None]


class Wire(Protocol):
    """What the events of a stream mean."""

    def read_events(self, events: list[bytes]) -> tuple[ModelChunks | None, ModelCallError | None, bool]:
        """The chunks that lead the events, the failure behind them, and whether they say that the stream is over."""
        ...

    def failure(self, kind: str) -> ModelCallError: ...


class StreamedAnswer:
    """Hands a batch of chunks to `take` for each read. `begun` at the first byte, `ended` after the last chunk.

    Both raise the failure that ended the answer before that; so does `ended` with whatever `take` raised. `timeout` is
    how long the provider may be silent, in seconds.
    """

    def __init__(
        self, response: Response, take: Take, *, timeout: float, max_event_bytes: int, wire: Wire = openai_wire
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = self._loop.create_future()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._response = response
        self._take = take
        self._wire = wire
        self._parser = EventParser(max_event_bytes=max_event_bytes)
        self._finished = False
        self._done = False
        self._timeout = timeout
        self._heard = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of_whole(cls, response: Response, take: Take, chunk: ModelChunks) -> "StreamedAnswer":
        """An answer that did not stream."""
        answer = cls(response, take, timeout=0, max_event_bytes=0)
        answer._hand_on(chunk, None)
        answer._end(None)
        return answer

    def leave(self) -> None:
        """Gives a finished connection back for the next call and closes any other."""
        if self._timer is not None:
            self._timer.cancel()
        well = self.ended.done() and not self.ended.cancelled() and self.ended.exception() is None
        self._response.leave(at_once=not well)

    def feed(self, data: bytes) -> None:
        if self.ended.done():
            return
        self._heard = self._loop.time()
        if not self.begun.done():
            self.begun.set_result(None)
            self._timer = self._loop.call_later(self._timeout, self._check_silence)
        try:
            self._read(self._parser.feed(data))
        except EventTooLargeError as error:
            failure = self._wire.failure("bad_frame")
            failure.__cause__ = error
            self._end(failure)

    def end(self, error: HttpError | None) -> None:
        """Without `[DONE]` the end of the body is well if the answer was finished, or if its last event finishes it."""
        if self.ended.done():
            return
        if error is None and self.begun.done():
            self._read(self._parser.close(), last=True)
        self._end(None if self._finished and error is None else self._wire.failure(error.kind if error else "reset"))

    def _read(self, events: list[bytes], *, last: bool = False) -> None:
        chunks, failure, over = self._wire.read_events(events)
        if last and failure is not None and failure.kind == "bad_frame":
            failure = self._wire.failure("reset")  # cut off, rather than badly said
        if chunks is not None or failure is not None:
            self._hand_on(chunks, failure)
        if over:
            self._end(None)

    def _hand_on(self, chunks: ModelChunks | None, failure: ModelCallError | None) -> None:
        if chunks is not None:
            try:
                self._take(chunks)
            except Exception as error:  # noqa: BLE001  the socket pump's boundary: it is told to who waits for the end
                self._end(error)
                return
            self._finished = self._finished or chunks.finish_reason is not None
        if failure is not None:
            self._end(failure)

    def _end(self, error: Exception | None) -> None:
        for future in (self.begun, self.ended):
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # one of the two may have nobody waiting

    def _check_silence(self) -> None:
        silence = self._loop.time() - self._heard
        if silence < self._timeout:
            self._timer = self._loop.call_later(self._timeout - silence, self._check_silence)
        else:
            self._end(self._wire.failure("timeout_between_bytes"))
