"""Reads what other processes append: one blocking read for all logs that are followed here and written elsewhere."""

import asyncio
import secrets
from collections.abc import Callable, Iterable
from contextvars import Context

from frontdesk.adapters.redis_link import Command, Link, LinkLostError
from frontdesk.adapters.thread_log.answer_log import AnswerLog
from frontdesk.adapters.thread_log.redis import stream_format as form

_BLOCK_SECONDS = 5.0
_MOST_ENTRIES = 200  # of each stream in one read
# A read names all streams, so the next one waits the longer the more they are, and what comes meanwhile comes together.
_STREAMS_A_MILLISECOND = 100
_LONGEST_REST_MILLISECONDS = 3
_WAKE_SECONDS = 60
_FIRST_PAUSE_SECONDS = 0.1
_LAST_PAUSE_SECONDS = 1.0


class Reader:
    """`arrived` is called with a log and how many events came for it. Followers are told when Redis is away."""

    def __init__(self, link: Link, *, arrived: Callable[[AnswerLog, int], None]) -> None:
        self._link = link
        self._arrived = arrived
        self._wake_key = f"{form.PREFIX}wake:{secrets.token_hex(8)}"
        self._wake_word = form.word(self._wake_key.encode())
        self._logs: dict[bytes, AnswerLog] = {}
        self._places = {self._wake_word: form.word(b"0-0")}
        self._some = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def reads(self, log: AnswerLog) -> bool:
        return self._logs.get(_word(log)) is log

    def add(self, log: AnswerLog) -> None:
        """From the next read on; a read that is waiting must be woken with the `wake_command`."""
        self._logs[_word(log)] = log
        self._places[_word(log)] = form.word(form.entry_id(log, log.end))
        self._some.set()
        if self._task is None:
            # It outlives the request that happens to be the first, and must not bear its name in the log.
            self._task = asyncio.create_task(self._run(), context=Context())

    def remove(self, log: AnswerLog) -> None:
        if self.reads(log):
            del self._logs[_word(log)], self._places[_word(log)]

    def wake_commands(self) -> list[Command]:
        """End a read that is waiting, now or in a moment, so that it goes on with the logs that are there."""
        return [
            ("XADD", self._wake_key, "MAXLEN", 1, "*", b"w", b""),
            ("EXPIRE", self._wake_key, _WAKE_SECONDS),
        ]

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._link.aclose()

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if not self._logs:
                self._some.clear()
                await self._some.wait()
            try:
                await self._read()
                pause = _FIRST_PAUSE_SECONDS
                if rest := min(_LONGEST_REST_MILLISECONDS, len(self._logs) // _STREAMS_A_MILLISECOND):
                    await asyncio.sleep(rest / 1000)
            except LinkLostError:
                if pause == _FIRST_PAUSE_SECONDS:
                    for log in tuple(self._logs.values()):
                        log.tell_away()
                await asyncio.sleep(pause)
                pause = min(_LAST_PAUSE_SECONDS, pause * 2)

    async def _read(self) -> None:
        logs = self._logs.copy()
        command = form.read_command(self._places, most=_MOST_ENTRIES, milliseconds=int(_BLOCK_SECONDS * 1000))
        (answer,) = await self._link.ask_all([command], within=_BLOCK_SECONDS + 2)
        if isinstance(answer, Exception):
            raise LinkLostError(str(answer)) from answer
        for key, entries in answer or ():
            word = form.word(key)
            log = logs.get(word)
            if self._logs.get(word) is log:
                self._places[word] = form.word(entries[-1][0])
            if log is not None:
                self._take_in(log, entries)

    def _take_in(self, log: AnswerLog, entries: Iterable[tuple[bytes, list[bytes]]]) -> None:
        count = merge(log, entries)
        if log.closed:
            self.remove(log)
        if count:
            self._arrived(log, count)


def merge(log: AnswerLog, entries: Iterable[tuple[bytes, list[bytes]]]) -> int:
    """How many events the entries brought that the log had not."""
    return sum(log.merge(event) for entry_id, fields in entries for event in form.unpack(log, entry_id, fields))


def _word(log: AnswerLog) -> bytes:
    return form.stream_word(log.thread_id, log.execution_id)
