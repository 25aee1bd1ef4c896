"""One call being answered: the script's tokens, pauses and faults, in order, on one connection."""

import socket
import struct
from asyncio import AbstractEventLoop, Transport
from collections.abc import Callable
from typing import Protocol

from frontdesk.model_stub import frames
from frontdesk.model_stub.calls import Call, Calls
from frontdesk.model_stub.script import Script
from frontdesk.model_stub.wheel import Wheel

RESET_DELAY = 0.01
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n%b\r\n"
)


class Stage(Protocol):
    """The connection, as an answer sees it."""

    transport: Transport
    congested: bool

    def finished(self) -> None: ...


class Playback:
    """Writes nothing while the client's side is congested, nothing after it has ended, and one batch for each turn."""

    def __init__(self, stage: Stage, script: Script, answer: frames.Answer, *, call: Call, calls: Calls) -> None:
        self._stage = stage
        self._script = script
        self._answer = answer
        self._call = call
        self._calls = calls
        self._total = len(answer.texts)
        self._position = 0
        self._opened = False
        self._waits = False
        self._over = False
        self._faults = self._positions()
        self._next_fault = min(self._faults, default=self._total + 1)

    def begin(self, loop: AbstractEventLoop, wheel: Wheel) -> None:
        self._loop, self._wheel = loop, wheel
        self._due = loop.time() + self._script.first_ms / 1000
        self._schedule()

    def abandon(self) -> None:
        """The client has gone."""
        if not self._over:
            self._end("closed_by_client")

    def resume(self) -> None:
        """The client reads again."""
        if self._waits:
            self._waits = False
            self._due = self._loop.time()
            self._advance()

    def go_on(self, key: str) -> None:
        """Ends the stall of a script with this key."""
        if self._call.key == key:
            self._due = self._loop.time()
            self._recover()

    def _beside(self) -> bytes:
        return "".join(f"{line}\r\n" for line in frames.HEADERS if self._script.headers).encode()

    def _positions(self) -> dict[int, Callable[[], None]]:
        script = self._script
        wanted = (
            (script.error_at, self._error),
            (script.bad_at, self._bad),
            (script.stall_at, self._stall),
            (script.close_at, self._close),
            (script.reset_at, self._reset),
        )
        return {min(position, self._total): fault for position, fault in wanted if position is not None}

    def _schedule(self) -> None:
        if self._due <= self._loop.time():
            self._loop.call_soon(self._advance)
        else:
            self._wheel.at(self._due, self._advance)

    def _advance(self) -> None:
        if self._over:
            return
        if self._stage.congested:
            self._waits = True
            return
        fault = self._faults.pop(self._position, None)
        if fault is not None:
            self._next_fault = min(self._faults, default=self._total + 1)
            fault()
            return
        self._play()

    def _play(self) -> None:
        first = self._position
        count = 1 if self._script.pause_ms else self._script.burst
        last = self._position = min(first + count, self._next_fault, self._total)
        words = self._answer.tokens(first, last) if last > first else b""
        self._call.tokens_sent = last
        if last == self._total < self._next_fault:
            self._send(words + self._answer.closing(), then=self._complete)
            return
        self._due += self._script.pause_ms / 1000
        self._send(words, then=self._schedule)

    def _send(self, words: bytes, *, then: Callable[[], None]) -> None:
        head = b""
        if not self._opened:
            self._opened = True
            head, words = HEAD % self._beside(), self._answer.opening() + words
        if self._script.is_dressed:
            words = frames.dress(words, self._script)
        if self._script.split:
            self._stage.transport.write(head)
            self._send_pieces(words, 0, then)
            return
        self._stage.transport.write(b"%b%x\r\n%b\r\n" % (head, len(words), words) if words else head)
        then()

    def _send_pieces(self, words: bytes, start: int, then: Callable[[], None]) -> None:
        piece = words[start : start + self._script.split]
        if self._over or not piece:
            then()
            return
        self._stage.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self._loop.call_soon(self._send_pieces, words, start + len(piece), then)

    def _complete(self) -> None:
        self._finish("completed")

    def _finish(self, outcome: str) -> None:
        if self._over:
            return
        self._stage.transport.write(b"0\r\n\r\n")
        self._end(outcome)
        self._stage.finished()

    def _end(self, outcome: str) -> None:
        self._over = True
        self._calls.end(self._call, outcome)

    def _stall(self) -> None:
        self._call.outcome = "stalled"
        self._send(b"", then=self._stalled)

    def _stalled(self) -> None:
        if self._script.stall_ms is not None:
            self._due = self._loop.time() + self._script.stall_ms / 1000
            self._wheel.at(self._due, self._recover)

    def _recover(self) -> None:
        if self._call.outcome == "stalled":
            self._call.outcome = None
            self._advance()

    def _bad(self) -> None:
        self._position = min(self._position + 1, self._total)
        self._send(frames.BAD, then=self._schedule)

    def _error(self) -> None:
        self._send(frames.ERROR, then=lambda: self._finish("failed"))

    def _close(self) -> None:
        self._end("failed")
        self._stage.transport.close()

    def _reset(self) -> None:
        self._end("reset")
        # What was written a moment ago shall leave first; a reset throws away what has not.
        self._wheel.at(self._loop.time() + RESET_DELAY, self._abort)

    def _abort(self) -> None:
        connection = self._stage.transport.get_extra_info("socket")
        if not self._stage.transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._stage.transport.abort()
