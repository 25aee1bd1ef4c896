"""Sends what this process appends. All logs share one pipeline, and it flushes when the last flush was answered.

So a lone token waits for nothing, and batches grow by themselves with the load or with the distance to Redis. What is
not sent yet is in the logs anyway: a Redis that is away costs no memory, and gets everything that is still held when it
is back.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from frontdesk.adapters.thread_log.answer_log import START, AnswerLog
from frontdesk.adapters.thread_log.redis import stream_format as form
from frontdesk.adapters.thread_log.redis.link import Link, LinkLostError
from frontdesk.errors import UnavailableError
from frontdesk.ports.thread_log import Entry, Event

_MOST_LOGS = 1000  # in one flush
_STALE_SECONDS = 86_400
_OWN_SECONDS = 3_600
_OWN_EVENTS = 1_000
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 2.0
_MOST_ENTRIES = 20_000  # of one stream
# Of an id that is not greater than the stream's last, and of a stream that has ended.
_REFUSALS = ("equal or smaller", "exhausted the last possible")
_logger = structlog.get_logger(__name__)


class Writer:
    """`retention` is in seconds: how long an ended stream stays. `sent` gives the logs of which something was sent.

    A log whose attempt is refused gets its `fence` raised.
    """

    def __init__(self, link: Link, *, retention: float, sent: Callable[[], Iterable[AnswerLog]]) -> None:
        self._link = link
        self._retention = retention
        self._sent = sent
        self._dirty: dict[AnswerLog, None] = {}
        self._asked: dict[tuple[Any, ...], None] = {}
        self._announced: list[tuple[str, bytes]] = []
        self._kick = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.available = True
        self._task: asyncio.Task[None] | None = None

    def send(self, log: AnswerLog) -> None:
        self._dirty[log] = None
        self._wake()

    def ask(self, *commands: tuple[Any, ...]) -> None:
        """Send these with the next flush that Redis answers, each once; they must bear being repeated."""
        self._asked.update(dict.fromkeys(commands))
        self._wake()

    def announce(self, thread_id: str, entries: Sequence[Entry]) -> None:
        blob = form.pack(Event("", "", 0, kind, payload) for kind, payload in entries)
        self._announced.append((form.stream_key(thread_id, ""), blob))
        del self._announced[:-_OWN_EVENTS]
        self._wake()

    async def drain(self, seconds: float) -> None:
        """Raises `UnavailableError` when not all could be sent in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError as error:
            raise UnavailableError("The shared log cannot be reached") from error

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._link.aclose()

    def _wake(self) -> None:
        self._idle.clear()
        self._kick.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if not (self._dirty or self._announced or self._asked):
                self._idle.set()
                await self._kick.wait()
            self._kick.clear()
            try:
                await self._flush()
                pause = _FIRST_PAUSE_SECONDS
            except LinkLostError as error:
                self._lost(error)
                await asyncio.sleep(pause)
                pause = min(_LAST_PAUSE_SECONDS, pause * 2)

    def _lost(self, error: LinkLostError) -> None:
        if self.available:
            self.available = False
            _logger.warning("the shared log is away; answers go on", reason=str(error))

    async def _flush(self) -> None:
        if not self.available:
            await self._link.ask("PING")
            self.available = True
            _logger.info("the shared log is back")
            for log in self._sent():
                log.sent = START
                self._dirty[log] = None
        entries = [self._entry(log) for log in list(self._dirty)[:_MOST_LOGS]]
        announced, self._announced = self._announced, []
        asked, self._asked = self._asked, {}
        for log, _ in entries:
            del self._dirty[log]
        try:
            await self._exchange(entries, [*_announcements(announced), *asked])
        except LinkLostError:
            self._announced = announced + self._announced
            self._asked = asked | self._asked
            self._dirty.update((log, None) for log, _ in entries)
            raise

    def _entry(self, log: AnswerLog) -> tuple[AnswerLog, list[tuple[Any, ...]]]:
        """What brings the others up to date, beginning with the log's entry; nothing when it has been taken away."""
        key = form.stream_key(log.thread_id, log.execution_id)
        events = log.behind(log.sent)
        if not events:
            return log, []
        place = form.entry_id(log, log.end)
        commands: list[tuple[Any, ...]] = [
            ("XADD", key, "MAXLEN", "~", _MOST_ENTRIES, place, form.FIELD, form.pack(events))
        ]
        if log.closed:
            commands += (("XSETID", key, form.LAST_ID), ("PEXPIRE", key, int(self._retention * 1000)))
        elif log.sent == START:
            commands.append(("EXPIRE", key, _STALE_SECONDS))
        return log, commands

    async def _exchange(
        self, entries: Sequence[tuple[AnswerLog, list[tuple[Any, ...]]]], rest: Sequence[tuple[Any, ...]]
    ) -> None:
        ends = [log.end for log, _ in entries]
        commands = [command for _, own in entries for command in own]
        if not (commands or rest):
            return
        answers = iter(await self._link.ask_all([*commands, *rest]))
        for (log, own), end in zip(entries, ends, strict=True):
            answer, *_ = [next(answers) for _ in own] or [None]
            if isinstance(answer, Exception):
                await self._take_refusal(answer, log)
            log.sent = max(log.sent, end)

    async def _take_refusal(self, answer: Exception, log: AnswerLog) -> None:
        """The entry was there already, or another attempt has gone on. Raises `LinkLostError` for any other reason."""
        if not any(reason in str(answer) for reason in _REFUSALS):
            raise LinkLostError(str(answer))
        if log.closed:
            return
        (told,) = await self._link.ask_all([("XINFO", "STREAM", form.stream_key(log.thread_id, log.execution_id))])
        if isinstance(told, Exception):
            return  # it has been erased meanwhile
        last = dict(zip(told[::2], told[1::2], strict=True))[b"last-generated-id"].decode()
        if last == form.LAST_ID or int(last.partition("-")[0]) > log.attempt:
            log.fence = log.attempt + 1


def _announcements(announced: Sequence[tuple[str, bytes]]) -> list[tuple[Any, ...]]:
    commands: list[tuple[Any, ...]] = []
    for key, blob in announced:
        commands.append(("XADD", key, "MAXLEN", "~", _OWN_EVENTS, "*", form.FIELD, blob))
        commands.append(("EXPIRE", key, _OWN_SECONDS))
    return commands
