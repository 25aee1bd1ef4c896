"""The log of one process, in its memory."""

from collections.abc import Sequence
from time import time_ns

from frontdesk.adapters.thread_log.answer_log import START, AnswerFollower, AnswerLog, parse_cursor
from frontdesk.adapters.thread_log.answer_logs import AnswerLogs
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import CursorGoneError, Entry


class InProcessThreadLog:
    """`retention` is in seconds; `retained_bytes` bounds all answers that have ended, `thread_bytes` each that runs."""

    def __init__(self, *, clock: Clock, retention: float, retained_bytes: int, thread_bytes: int) -> None:
        self._logs = AnswerLogs(
            clock=clock, retention=retention, retained_bytes=retained_bytes, thread_bytes=thread_bytes
        )

    @property
    def lag(self) -> int:
        return self._logs.lag

    @property
    def held_bytes(self) -> int:
        return self._logs.held_bytes

    def announce(self, thread_id: str, *, entries: Sequence[Entry]) -> None:
        log = self._own(thread_id)
        for kind, payload in entries:
            log.add(kind, payload)
        self._logs.appended(log, keep=len(entries))

    def append(self, thread_id: str, execution_id: str, attempt: int, *, entries: Sequence[Entry]) -> str:
        return self._logs.append(thread_id, execution_id, attempt, entries=entries).cursor

    def append_chunks(self, thread_id: str, execution_id: str, attempt: int, *, chunks: Sequence[bytes]) -> str:
        return self._logs.append_chunks(thread_id, execution_id, attempt, chunks=chunks).cursor

    def abandon(self, thread_id: str, execution_id: str, attempt: int) -> None:
        """Nobody else's log can be read from here, so its followers are left to the database."""
        log = self._logs.find(thread_id, execution_id)
        if log is not None and not log.closed and log.attempt <= attempt:
            self._logs.drop(log)

    def pause(self, thread_id: str, execution_id: str, attempt: int) -> None:
        log = self._logs.find(thread_id, execution_id)
        if log is not None and log.attempt <= attempt:
            log.runs_here = False

    async def follow(self, thread_id: str, execution_id: str = "", *, after: str | None = None) -> AnswerFollower:
        found = self._logs.find(thread_id, execution_id)
        if after is not None:
            place = parse_cursor(after)
            if found is None or not found.base <= place <= found.end:
                raise CursorGoneError
            return self._logs.follow(found, place)
        if not execution_id:
            own = self._own(thread_id)
            return self._logs.follow(own, own.base)
        if found is not None and not found.is_whole:
            raise CursorGoneError
        return self._logs.follow(found or self._logs.open(thread_id, execution_id), START)

    async def holds(self, thread_id: str, execution_id: str) -> bool:
        found = self._logs.find(thread_id, execution_id)
        return found is not None and found.is_whole and bool(found.events)

    def is_written_here(self, thread_id: str, execution_id: str) -> bool:
        return self._logs.is_written_here(thread_id, execution_id)

    def discard(self, thread_id: str, execution_ids: Sequence[str]) -> None:
        for execution_id in ("", *execution_ids):
            if log := self._logs.find(thread_id, execution_id):
                self._logs.drop(log)

    async def flush(self) -> None:
        """What was appended is here already."""

    async def check(self) -> None:
        """A log in this process is there when the process is."""

    async def aclose(self) -> None:
        self._logs.close()

    def _own(self, thread_id: str) -> AnswerLog:
        """The thread's own log. It counts on from the time, so that no cursor of an earlier one is one of its own."""
        log = self._logs.find(thread_id, "")
        if log is None:
            log = self._logs.open(thread_id, "")
            log.number = time_ns() // 1000
            log.base = log.end
        return log
