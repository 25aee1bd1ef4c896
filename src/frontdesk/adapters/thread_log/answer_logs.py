"""The answer logs of one process, and when they leave: after their retention, all together within a bound of bytes."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from frontdesk.adapters.thread_log.answer_log import AnswerFollower, AnswerLog
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import Entry

_IDLE_ROUNDS = 3
_ROUND_SECONDS = 20.0


class AnswerLogs:
    """`retention` is in seconds; `retained_bytes` bounds all that have ended, `thread_bytes` each that runs.

    One that is neither followed nor written to is forgotten in the course of a minute: what it held was only that an
    execution waits, or is written elsewhere.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        retention: float,
        retained_bytes: int,
        thread_bytes: int,
        dropped: Callable[[AnswerLog], None] = lambda _: None,
    ) -> None:
        self._dropped = dropped
        self._clock = clock
        self._retention = retention
        self._retained_bytes = retained_bytes
        self._thread_bytes = thread_bytes
        self._logs: dict[tuple[str, str], AnswerLog] = {}
        self._ended: deque[tuple[float, AnswerLog]] = deque()
        self._ended_bytes = 0
        self._round = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def lag(self) -> int:
        """Events that some follower has not taken yet, at the worst."""
        return max((f.behind for log in self._logs.values() for f in log.followers), default=0)

    @property
    def held_bytes(self) -> int:
        return sum(log.bytes for log in self._logs.values())

    def find(self, thread_id: str, execution_id: str) -> AnswerLog | None:
        return self._logs.get((thread_id, execution_id))

    def is_written_here(self, thread_id: str, execution_id: str) -> bool:
        log = self.find(thread_id, execution_id)
        return log is not None and log.runs_here

    def open(self, thread_id: str, execution_id: str) -> AnswerLog:
        """The execution's log, made if it is not there."""
        log = self._logs.get((thread_id, execution_id))
        if log is None:
            log = self._logs[thread_id, execution_id] = AnswerLog(thread_id, execution_id)
            log.touched = self._round
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(self._interval, self._next_round)
        return log

    def append(self, thread_id: str, execution_id: str, attempt: int, *, entries: Sequence[Entry]) -> AnswerLog:
        """Raises `StaleAttemptError`."""
        log = self.admit(thread_id, execution_id, attempt)
        for kind, payload in entries:
            log.add(kind, payload)
        self.appended(log, keep=len(entries))
        return log

    def append_chunks(self, thread_id: str, execution_id: str, attempt: int, *, chunks: Sequence[bytes]) -> AnswerLog:
        """Raises `StaleAttemptError`."""
        log = self.admit(thread_id, execution_id, attempt)
        self.appended(log, keep=log.add_chunks(chunks))
        return log

    def admit(self, thread_id: str, execution_id: str, attempt: int) -> AnswerLog:
        """The log, once the attempt has passed its fence. Raises `StaleAttemptError`."""
        log = self.open(thread_id, execution_id)
        log.admit(attempt)
        log.runs_here = attempt > 0
        return log

    def appended(self, log: AnswerLog, *, keep: int) -> None:
        """Its last `keep` events are new: hold it to its bounds and call its followers."""
        log.touched = self._round
        if log.bytes > self._thread_bytes:
            log.shorten(self._thread_bytes // 2, keep=keep)
        if log.closed:
            self._ended.append((self._clock.monotonic() + self._retention, log))
            log.runs_here = False
            log.ended_bytes = log.bytes
            self._ended_bytes += log.bytes
            self._reap()
        log.wake()

    def follow(self, log: AnswerLog, place: int) -> AnswerFollower:
        log.touched = self._round
        return AnswerFollower(log, place)

    def drop(self, log: AnswerLog) -> None:
        """Take the log away; its followers are told, and find their places gone."""
        if self._logs.get((log.thread_id, log.execution_id)) is log:
            del self._logs[log.thread_id, log.execution_id]
            self._dropped(log)
        log.empty()
        log.wake()

    def __iter__(self) -> Iterator[AnswerLog]:
        return iter(tuple(self._logs.values()))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def _interval(self) -> float:
        return min(_ROUND_SECONDS, max(0.05, self._retention / 4))

    def _reap(self) -> None:
        now = self._clock.monotonic()
        while self._ended and (self._ended[0][0] <= now or self._ended_bytes > self._retained_bytes):
            _, log = self._ended.popleft()
            self._ended_bytes -= log.ended_bytes
            self.drop(log)

    def _next_round(self) -> None:
        self._timer = None
        self._reap()
        self._round += 1
        for log in self:
            unused = not (log.followers or log.closed or log.runs_here)
            if unused and self._round - log.touched > _IDLE_ROUNDS:
                self.drop(log)
        if self._logs:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._next_round)
