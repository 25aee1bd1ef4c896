"""The conversation core put together as the program does it, without HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text as sql

from frontdesk.adapters.execution_engine.local import LocalExecutionEngine
from frontdesk.adapters.language_model.openai_http import OpenAIHttpLanguageModel
from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
from frontdesk.conversation.drafts import Draft, IfActive
from frontdesk.conversation.feed import AnswerReader, Feed
from frontdesk.conversation.housekeeping import Housekeeping
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.messages.service import MessageService
from frontdesk.conversation.model_list import ModelList
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.conversation.turn import Turn
from frontdesk.database import Database, open_database
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import Clock, SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.kit.paging import Page
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.language_model import LanguageModel
from frontdesk.ports.thread_log import Event, EventType, ThreadLog

SECONDS = 20
_POLL_SECONDS = 0.01


def a_user(**fields: Any) -> Principal:
    return Principal(kind=PrincipalKind.user, id=new_id(), **fields)


@dataclass
class Core:
    """One process's services. `user` is who speaks unless a test says otherwise."""

    database: Database
    log: ThreadLog
    engine: LocalExecutionEngine
    conversation: ConversationService
    threads: ThreadService
    messages: MessageService
    feed: Feed
    user: Principal

    async def thread(self) -> str:
        return (await self.threads.create(self.user, title=None, summary=None, metadata={})).result.id

    async def send(self, thread_id: str, text: str = "hello", **fields: Any) -> Message:
        if "if_active" in fields:
            fields["if_active"] = IfActive(fields["if_active"])
        return (await self.conversation.send(self.user, thread_id, Draft(text=text, **fields))).result

    async def answer(self, thread_id: str, text: str = "hello", **fields: Any) -> list[Event]:
        """Say something and read the answer to its end."""
        message = await self.send(thread_id, text, **fields)
        return await read_all(await self.feed.join(thread_id, message.execution_id or ""))

    async def read(self, thread_id: str, execution_id: str, *, after: str | None = None) -> list[Event]:
        return await read_all(await self.feed.open(self.user, thread_id, execution_id, after=after))

    async def listed(self, thread_id: str) -> list[Message]:
        """Oldest first."""
        items, _ = await self.messages.list_messages(self.user, thread_id, Page(limit=100))
        return items[::-1]

    async def answer_to(self, message: Message) -> Message:
        """The stored answer that the message's execution makes."""
        return next(
            found
            for found in await self.listed(message.thread_id)
            if found.execution_id == message.execution_id and found.id != message.id
        )

    async def executions(self, thread_id: str) -> list[Any]:
        """As they are stored, oldest first."""
        statement = sql("SELECT * FROM executions WHERE thread_id = :id ORDER BY id")
        return list(await self.database.read(lambda c: c.execute(statement, {"id": thread_id}).mappings().all()))

    async def ended(self, thread_id: str) -> list[Any]:
        """The thread's executions, once none is under way."""
        unfinished = {"queued", "running", "waiting"}
        return await until(
            lambda: self.executions(thread_id), lambda rows: all(r.state not in unfinished for r in rows)
        )

    async def stored_text(self, message: Message) -> str:
        return (await self.answer_to(message)).text

    async def crash(self) -> None:
        """What `kill -9` leaves: nothing runs on, and nothing is given back."""
        tasks = [self.engine._ticking, *(run.task for run in self.engine._runs.values())]
        self.engine._ticking = None
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


async def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """What `ask` gives once it holds; fails when it does not in time."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not holds(found := await ask()):
        assert asyncio.get_running_loop().time() < deadline, found
        await asyncio.sleep(_POLL_SECONDS)
    return found


async def next_events(reader: AnswerReader) -> list[Event]:
    """The next ones, waited for as a surface does; empty at the end."""
    woken = asyncio.Event()
    reader.on_ready(woken.set)
    while True:
        if (events := list(reader.take())) or reader.ended:
            return events
        await reader.look_around()
        if (events := list(reader.take())) or reader.ended:
            return events
        await woken.wait()
        woken.clear()


async def read_all(reader: AnswerReader) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(SECONDS):
        while not reader.ended:
            events += await next_events(reader)
    reader.close()
    return events


async def read_until(reader: AnswerReader, kind: EventType) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(SECONDS):
        while not any(event.type is kind for event in events):
            events += await next_events(reader)
    return events


def in_process_log(
    *, clock: Clock | None = None, retention: float = 120, thread_bytes: int = 4_194_304
) -> InProcessThreadLog:
    return InProcessThreadLog(
        clock=clock or SystemClock(), retention=retention, retained_bytes=33_554_432, thread_bytes=thread_bytes
    )


@asynccontextmanager
async def open_core(
    database_url: str,
    model: str | LanguageModel,
    *,
    user: Principal | None = None,
    log: InProcessThreadLog | None = None,
    concurrency: int = 2000,
    lease: float = 5,
    tick: float = 0.1,
    heartbeat: float = 10,
    max_attempts: int = 5,
    llm_enabled: bool = True,
    wrap: Callable[[Database], Database] = lambda database: database,
) -> AsyncIterator[Core]:
    """`model` is a provider's base address or a model itself. A log that is passed in is another core's to close.

    `wrap` may put something between the core and its database.
    """
    clock = SystemClock()
    database = wrap(open_database(database_url, pool_size=5, timeout=5))
    own_log = log or in_process_log(clock=clock)
    language_model = OpenAIHttpLanguageModel(base_url=model) if isinstance(model, str) else model
    turn = Turn(
        database=database,
        log=own_log,
        model=language_model,
        models=ModelList(language_model, clock=clock, default_model=None),
        clock=clock,
        measurements=Measurements(),
        heartbeat=heartbeat,
        max_attempts=max_attempts,
    )
    engine = LocalExecutionEngine(
        database=database,
        turn=turn,
        housekeeping=Housekeeping(database=database, clock=clock),
        clock=clock,
        concurrency=concurrency,
        lease=lease,
        tick=tick,
        context_messages=100,
    )
    await engine.open()
    conversation = ConversationService(
        database=database, log=own_log, engine=engine, clock=clock, llm_enabled=llm_enabled
    )
    try:
        yield Core(
            database=database,
            log=own_log,
            engine=engine,
            conversation=conversation,
            threads=ThreadService(database=database, log=own_log, clock=clock, stop_answers=conversation.stop_all),
            messages=MessageService(database=database, clock=clock),
            feed=Feed(database=database, log=own_log),
            user=user or a_user(),
        )
    finally:
        await engine.aclose()
        if log is None:
            await own_log.aclose()
        await language_model.aclose()
        await until(lambda: asyncio.sleep(0, database.connections_in_use), lambda in_use: in_use == 0)
        await database.aclose()
