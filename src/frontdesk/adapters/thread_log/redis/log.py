"""The log that processes share. What is appended here is followed here at once; Redis brings it to the others.

So an answer streams to its reader while Redis is away, and a token that is written and read in one process waits for
nobody. The database is asked for what the others miss meanwhile.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress

from frontdesk.adapters.redis_link import Link, LinkLostError
from frontdesk.adapters.thread_log.answer_log import START, AnswerFollower, AnswerLog, parse_cursor
from frontdesk.adapters.thread_log.answer_logs import AnswerLogs
from frontdesk.adapters.thread_log.redis import stream_format as form
from frontdesk.adapters.thread_log.redis.reader import Reader, merge
from frontdesk.adapters.thread_log.redis.writer import Writer
from frontdesk.errors import UnavailableError
from frontdesk.kit.clock import Clock
from frontdesk.ports.thread_log import CursorGoneError, Entry

_ASK_SECONDS = 0.5
_FLUSH_SECONDS = 2.0
_QUEUED_SECONDS = 1.0  # in which an answer that is queued here begins here, as a rule


class RedisThreadLog:
    """`retention` is in seconds; `retained_bytes` bounds all answers that have ended, `thread_bytes` each that runs, in
    this process's memory. `runs_answers` is whether this process runs what is queued in it: then it does not look for
    them elsewhere at once. Needs Redis 7 and the extra `redis`.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        retention: float,
        retained_bytes: int,
        thread_bytes: int,
        runs_answers: bool,
    ) -> None:
        self._logs = AnswerLogs(
            clock=clock,
            retention=retention,
            retained_bytes=retained_bytes,
            thread_bytes=thread_bytes,
            dropped=self._dropped,
        )
        self._runs_answers = runs_answers
        self._asking = Link(url, timeout=_ASK_SECONDS)
        self._reader = Reader(Link(url, timeout=_ASK_SECONDS), arrived=self._arrived)
        self._writer = Writer(Link(url, timeout=_FLUSH_SECONDS), retention=retention, sent=self._sent)

    @property
    def lag(self) -> int:
        return self._logs.lag

    @property
    def held_bytes(self) -> int:
        return self._logs.held_bytes

    @property
    def flushes(self) -> int:
        """Batches that Redis has taken from this process."""
        return self._writer.flushes

    @property
    def sent_events(self) -> int:
        """Events in those, the thread's own aside."""
        return self._writer.sent_events

    def announce(self, thread_id: str, *, entries: Sequence[Entry]) -> None:
        self._writer.announce(thread_id, entries)

    def append(self, thread_id: str, execution_id: str, attempt: int, *, entries: Sequence[Entry]) -> str:
        log = self._logs.append(thread_id, execution_id, attempt, entries=entries)
        self._writer.send(log)
        self._reader.remove(log)  # what is written here is not read from elsewhere
        return log.cursor

    def append_chunks(self, thread_id: str, execution_id: str, attempt: int, *, chunks: Sequence[bytes]) -> str:
        log = self._logs.append_chunks(thread_id, execution_id, attempt, chunks=chunks)
        self._writer.send(log)
        return log.cursor

    def abandon(self, thread_id: str, execution_id: str, attempt: int) -> None:
        log = self._logs.find(thread_id, execution_id)
        if log is not None and not log.closed and log.attempt <= attempt:
            log.runs_here = False
            if log.followers:
                self._read(log)

    def pause(self, thread_id: str, execution_id: str, attempt: int) -> None:
        self.abandon(thread_id, execution_id, attempt)

    async def follow(self, thread_id: str, execution_id: str = "", *, after: str | None = None) -> AnswerFollower:
        place = START if after is None else parse_cursor(after)
        log = self._logs.open(thread_id, execution_id)
        follower = self._logs.follow(log, place)
        try:
            await self._bring_up_to_date(log)
            if after is None and not execution_id:
                follower.start_at(log.base)
            else:
                _check_place(log, place, given=after is not None)
        except BaseException:
            follower.close()
            raise
        return follower

    async def holds(self, thread_id: str, execution_id: str) -> bool:
        log = self._logs.find(thread_id, execution_id)
        if log is not None and log.events:
            return log.is_whole
        first = AnswerLog(thread_id, execution_id)
        key = form.stream_key(thread_id, execution_id)
        try:
            merge(first, await self._asking.ask("XRANGE", key, "-", "+", "COUNT", 1))
        except LinkLostError:
            return False
        return first.is_whole and bool(first.events)

    def is_written_here(self, thread_id: str, execution_id: str) -> bool:
        return self._logs.is_written_here(thread_id, execution_id)

    def discard(self, thread_id: str, execution_ids: Sequence[str]) -> None:
        for execution_id in ("", *execution_ids):
            if log := self._logs.find(thread_id, execution_id):
                self._logs.drop(log)
        self._writer.ask(*(("DEL", form.stream_key(thread_id, each)) for each in ("", *execution_ids)))

    async def flush(self) -> None:
        await self._writer.drain(_FLUSH_SECONDS)

    async def check(self) -> None:
        if not self._writer.available:
            raise UnavailableError("The shared log cannot be reached")
        try:
            await self._asking.ask("PING")
        except LinkLostError as error:
            raise UnavailableError("The shared log cannot be reached") from error

    async def aclose(self) -> None:
        with suppress(UnavailableError):  # what Redis does not hear, the database knows
            await self.flush()
        self._logs.close()
        await self._reader.aclose()
        await self._writer.aclose()
        await self._asking.aclose()

    async def _bring_up_to_date(self, log: AnswerLog) -> None:
        """Read from now on what others append, and what they have appended unless the log begins here."""
        if log.runs_here or log.closed or self._reader.reads(log):
            return
        if log.events and log.attempt == 0 and self._runs_answers:
            asyncio.get_running_loop().call_later(_QUEUED_SECONDS, self._read, log)
        elif log.events:
            self._read(log)
        else:
            await self._load(log)

    async def _load(self, log: AnswerLog) -> None:
        try:
            entries = await self._asking.ask("XRANGE", form.stream_key(log.thread_id, log.execution_id), "-", "+")
        except LinkLostError:
            entries = []  # the reader brings them when it can
        begins_here = log.end == START
        if count := merge(log, entries):
            if begins_here and not log.execution_id:
                log.base = log.places[0] - 1
            self._logs.appended(log, keep=count)
        self._read(log)

    def _read(self, log: AnswerLog) -> None:
        if not (log.runs_here or log.closed or self._reader.reads(log)) and log.followers:
            self._reader.add(log)
            self._writer.ask(*self._reader.wake_commands())

    def _arrived(self, log: AnswerLog, count: int) -> None:
        self._logs.appended(log, keep=count)

    def _dropped(self, log: AnswerLog) -> None:
        self._reader.remove(log)

    def _sent(self) -> Iterator[AnswerLog]:
        return (log for log in self._logs if log.sent != START)


def _check_place(log: AnswerLog, place: int, *, given: bool) -> None:
    """A place ahead is one that others know already and this process does not yet. Raises `CursorGoneError`."""
    ahead = place > log.end and (log.closed or log.runs_here)
    if place < log.base or (given and (ahead or not log.events)):
        raise CursorGoneError
