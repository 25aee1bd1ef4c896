"""Sends what this process appends. All logs share one pipeline, and it flushes when the last flush was answered.

So a lone token waits for nothing, and batches grow by themselves with the load or with the distance to Redis. What is
not sent yet is in the logs anyway: a Redis that is away costs no memory, and gets everything that is still held when it
is back.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from itertools import count
from typing import NamedTuple

import structlog

from frontdesk.adapters.redis_link import Command, Link, LinkLostError
from frontdesk.adapters.thread_log.answer_log import START, AnswerLog
from frontdesk.adapters.thread_log.redis import stream_format as form
from frontdesk.errors import UnavailableError
from frontdesk.ports.thread_log import Entry, Event

_MOST_LOGS = 1000  # in one flush
_STALE_SECONDS = 86_400
_OWN_SECONDS = 3_600
_OWN_EVENTS = 1_000
_FIRST_PAUSE_SECONDS = 0.25
_LAST_PAUSE_SECONDS = 2.0
# After a flush of many logs the next waits for more: each costs its calls and wake-ups, however little it brings.
_MANY_LOGS = 10
_REST_SECONDS = 0.001
# Of an id that is not greater than the stream's last, and of a stream that has ended.
_REFUSALS = ("equal or smaller", "exhausted the last possible")
_logger = structlog.get_logger(__name__)


class _Part(NamedTuple):
    """What brings the others up to date with a log: up to `end`, `events` events, the log's entry first."""

    log: AnswerLog
    end: int
    events: int
    commands: Sequence[Command]


class Writer:
    """`retention` is in seconds: how long an ended stream stays. `sent` gives the logs of which something was sent.

    A log whose attempt is refused gets its `fence` raised. `flushes` and `sent_events` count what Redis has answered.
    """

    def __init__(self, link: Link, *, retention: float, sent: Callable[[], Iterable[AnswerLog]]) -> None:
        self._link = link
        self._retention = retention
        self._sent = sent
        self._dirty: dict[AnswerLog, None] = {}
        self._asked: dict[Command, None] = {}
        self._announced: list[tuple[str, bytes]] = []
        self._name = secrets.token_hex(form.NAME_BYTES)
        self._numbers = count()
        self._kick = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.available = True
        self.flushes = 0
        self.sent_events = 0
        self._task: asyncio.Task[None] | None = None

    def send(self, log: AnswerLog) -> None:
        self._dirty[log] = None
        self._wake()

    def ask(self, *commands: Command) -> None:
        """Send these with the next flush that Redis answers, each once; they must bear being repeated."""
        self._asked.update(dict.fromkeys(commands))
        self._wake()

    def announce(self, thread_id: str, entries: Sequence[Entry]) -> None:
        key = form.stream_key(thread_id, "")
        for kind, payload in entries:
            mark = form.mark(self._name, next(self._numbers))
            self._announced.append((key, form.pack([Event(mark, "", 0, kind, payload)])))
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
            # It outlives the request that happens to be the first, and must not bear its name in the log.
            self._task = asyncio.create_task(self._run(), context=Context())

    async def _run(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            if not (self._dirty or self._announced or self._asked):
                self._idle.set()
                await self._kick.wait()
            self._kick.clear()
            try:
                logs = await self._flush()
                pause = _FIRST_PAUSE_SECONDS
                if logs >= _MANY_LOGS:
                    await asyncio.sleep(_REST_SECONDS)
            except LinkLostError as error:
                self._lost(error)
                await asyncio.sleep(pause)
                pause = min(_LAST_PAUSE_SECONDS, pause * 2)

    def _lost(self, error: LinkLostError) -> None:
        if self.available:
            self.available = False
            _logger.warning("the shared log is away; answers go on", reason=str(error))

    async def _flush(self) -> int:
        """How many logs were sent of."""
        if not self.available:
            await self._link.ask("PING")
            self.available = True
            _logger.info("the shared log is back")
            for log in self._sent():
                log.sent = START
                self._dirty[log] = None
        parts = [self._part(log) for log in list(self._dirty)[:_MOST_LOGS]]
        announced, self._announced = self._announced, []
        asked, self._asked = self._asked, {}
        for part in parts:
            del self._dirty[part.log]
        try:
            await self._exchange(parts, [*_announcements(announced), *asked])
        except LinkLostError:
            self._announced = announced + self._announced
            self._asked = asked | self._asked
            self._dirty.update((part.log, None) for part in parts)
            raise
        return len(parts)

    def _part(self, log: AnswerLog) -> _Part:
        """Without commands when what was to be sent has been taken away."""
        end = log.end
        events = log.behind(log.sent)
        if not events:
            return _Part(log, end, 0, ())
        commands: list[Command] = [form.append_command(log, events)]
        if log.closed:
            key = form.stream_key(log.thread_id, log.execution_id)
            commands += (("XSETID", key, form.LAST_ID), ("PEXPIRE", key, int(self._retention * 1000)))
        elif log.sent == START:
            commands.append(("EXPIRE", form.stream_key(log.thread_id, log.execution_id), _STALE_SECONDS))
        return _Part(log, end, len(events), commands)

    async def _exchange(self, parts: Sequence[_Part], rest: Sequence[Command]) -> None:
        commands = [command for part in parts for command in part.commands]
        if not (commands or rest):
            return
        answers = iter(await self._link.ask_all([*commands, *rest]))
        self.flushes += 1
        for part in parts:
            answer, *_ = [next(answers) for _ in part.commands] or [None]
            if isinstance(answer, Exception):
                await self._take_refusal(answer, part.log)
            part.log.sent = max(part.log.sent, part.end)
            self.sent_events += part.events
        for answer in answers:
            if isinstance(answer, Exception):
                raise LinkLostError(str(answer)) from answer

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


def _announcements(announced: Sequence[tuple[str, bytes]]) -> list[Command]:
    commands: list[Command] = []
    for key, blob in announced:
        commands.append(("XADD", key, "MAXLEN", "~", _OWN_EVENTS, "*", form.FIELD, blob))
        commands.append(("EXPIRE", key, _OWN_SECONDS))
    return commands
