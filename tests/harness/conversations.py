"""The conversation core put together as the program does it, without HTTP."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text as sql

from frontdesk.adapters.execution_engine.local import LocalExecutionEngine
from frontdesk.adapters.execution_engine.runner import ExecutionRunner
from frontdesk.adapters.execution_engine.temporal import TemporalExecutionEngine
from frontdesk.adapters.execution_engine.temporal_calls import TemporalCalls
from frontdesk.adapters.execution_engine.temporal_worker import TemporalWorker
from frontdesk.adapters.language_model.agent_runtimes import AgentRuntimes
from frontdesk.adapters.language_model.openai_http import OpenAIHttpLanguageModel
from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
from frontdesk.agents.models import AgentKind
from frontdesk.agents.service import AgentDraft, AgentService
from frontdesk.conversation.asking import Asking
from frontdesk.conversation.drafts import Draft, IfActive
from frontdesk.conversation.executions.stopping import Stopper
from frontdesk.conversation.feed import AnswerReader, Feed
from frontdesk.conversation.grounding import Grounding
from frontdesk.conversation.housekeeping import Housekeeping
from frontdesk.conversation.messages.models import Message
from frontdesk.conversation.messages.service import MessageService
from frontdesk.conversation.model_list import ModelList
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.conversation.tool_calls.inputs import InputService
from frontdesk.conversation.tool_calls.making import ToolCaller, Tools
from frontdesk.conversation.turn import Turn
from frontdesk.database import Database, open_database
from frontdesk.identity.message_limits import MessageLimits, Tier
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.kit.clock import Clock, SystemClock
from frontdesk.kit.ids import new_id
from frontdesk.kit.paging import Page
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.language_model import LanguageModel
from frontdesk.ports.rate_limiter import RateLimiter
from frontdesk.ports.thread_log import Event, EventType, ThreadLog
from frontdesk.public_chat.sessions.repository import find_visit
from frontdesk.retrieval.sources.documents import Documents
from harness.attachments import attachment_service
from harness.tools import OfferedTools

SECONDS = 60
_POLL_SECONDS = 0.01


def a_user(**fields: Any) -> Principal:
    return Principal(kind=PrincipalKind.user, id=new_id(), **fields)


@dataclass
class Core:
    """One process's services. `user` is who speaks unless a test says otherwise.

    Over Temporal, `runner` belongs to a worker that shares everything else, the log too.
    """

    database: Database
    log: ThreadLog
    engine: LocalExecutionEngine | TemporalExecutionEngine
    runner: ExecutionRunner
    conversation: ConversationService
    threads: ThreadService
    messages: MessageService
    feed: Feed
    inputs: InputService
    runtimes: AgentRuntimes
    user: Principal

    async def thread(self, **metadata: Any) -> str:
        return (await self.threads.create(self.user, title=None, summary=None, metadata=metadata)).result.id

    async def agent(self, *tools: str, **fields: Any) -> str:
        """An agent of the user's with these tools."""
        service = AgentService(
            database=self.database,
            clock=SystemClock(),
            knows_tool=lambda _: True,
            list_tools=list,
            runtimes=self.runtimes.names,
        )
        draft = AgentDraft(name="agent", tools=list(tools), **fields)
        return (await service.create(self.user, draft)).id

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
        runner, self.runner._is_open = self.runner, False
        for ticker in (self.engine._ticker, runner._ticker, runner._requests):
            await ticker.aclose()
        tasks = [run.task for run in runner._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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


@dataclass(frozen=True)
class OverTemporal:
    """Where a core's executions go; with `works` it has a worker of its own. Cores of one queue work for each other."""

    address: str
    task_queue: str = field(default_factory=new_id)
    works: bool = True
    drain: float = 0.0


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
    temporal: OverTemporal | None = None,
    tools: Tools | None = None,
    runtimes: Mapping[AgentKind, Mapping[str, LanguageModel]] | None = None,
    limits: MessageLimits | None = None,
) -> AsyncIterator[Core]:
    """`model` is a provider's base address or a model itself. A log that is passed in is another core's to close.

    `wrap` may put something between the core and its database. Without `temporal` the engine is the local one.
    """
    clock = SystemClock()
    database = wrap(open_database(database_url, pool_size=5, timeout=5))
    own_log = log or in_process_log(clock=clock)
    language_model = OpenAIHttpLanguageModel(base_url=model) if isinstance(model, str) else model
    behind_agents = AgentRuntimes(language_model, runtimes or {})
    measurements, offered = Measurements(), tools or OfferedTools()
    limits = limits or message_limits(InProcessRateLimiter(clock))
    caller = ToolCaller(database=database, log=own_log, tools=offered, clock=clock, measurements=measurements)
    asking = Asking(
        log=own_log,
        model_of=behind_agents.model_of,
        models=ModelList(language_model, clock=clock, default_model=None),
        caller=caller,
        clock=clock,
        measurements=measurements,
    )
    turn = Turn(
        database=database,
        log=own_log,
        asking=asking,
        caller=caller,
        grounding=Grounding(database=database, log=own_log, documents=Documents(database, None)),
        clock=clock,
        limits=limits,
        measurements=measurements,
        heartbeat=heartbeat,
        max_attempts=max_attempts,
    )
    runner = ExecutionRunner(
        database=database,
        turn=turn,
        stopper=Stopper(database=database, log=own_log, clock=clock, limits=limits),
        clock=clock,
        concurrency=concurrency,
        lease=lease,
        tick=tick,
        context_messages=100,
        find_visit=find_visit,
        patience=None if temporal is None else 2 * tick,
    )
    engine = _engine(database, runner, tick=tick, temporal=temporal)
    attachments = attachment_service(database, clock)
    conversation = ConversationService(
        database=database,
        log=own_log,
        engine=engine,
        attachments=attachments,
        clock=clock,
        limits=limits,
        llm_enabled=llm_enabled,
    )
    try:
        async with _open_engine(engine, runner, temporal):
            yield Core(
                database=database,
                log=own_log,
                engine=engine,
                runner=runner,
                conversation=conversation,
                threads=ThreadService(
                    database=database,
                    log=own_log,
                    clock=clock,
                    stop_answers=conversation.stop_all,
                    erase_files=attachments.erase_deleted,
                ),
                messages=MessageService(database=database, clock=clock),
                feed=Feed(database=database, log=own_log, clock=clock),
                inputs=InputService(database=database, engine=engine, tools=offered, clock=clock),
                runtimes=behind_agents,
                user=user or a_user(),
            )
    finally:
        if log is None:
            await own_log.aclose()
        await behind_agents.aclose()
        await language_model.aclose()
        await until(lambda: asyncio.sleep(0, database.connections_in_use), lambda in_use: in_use == 0)
        await database.aclose()


def message_limits(limiter: RateLimiter, tier: Tier | None = None, *, answer_tokens: int = 1000) -> MessageLimits:
    """One tier for everybody; without it nothing is limited."""
    return MessageLimits(limiter, {"one": tier or Tier()}, default_tier="one", answer_tokens=answer_tokens)


def _engine(
    database: Database, runner: ExecutionRunner, *, tick: float, temporal: OverTemporal | None
) -> LocalExecutionEngine | TemporalExecutionEngine:
    clock = SystemClock()
    housekeeping = Housekeeping(database=database, clock=clock)
    if temporal is None:
        return LocalExecutionEngine(database=database, runner=runner, housekeeping=housekeeping, clock=clock, tick=tick)
    return TemporalExecutionEngine(
        calls=TemporalCalls(address=temporal.address, namespace="default", clock=clock),
        namespace="default",
        database=database,
        housekeeping=housekeeping,
        clock=clock,
        tick=tick,
        task_queue=temporal.task_queue,
    )


@asynccontextmanager
async def _open_engine(
    engine: LocalExecutionEngine | TemporalExecutionEngine, runner: ExecutionRunner, temporal: OverTemporal | None
) -> AsyncIterator[None]:
    await engine.open()
    try:
        if temporal is None or not temporal.works:
            yield
            return
        await runner.open()
        worker = TemporalWorker(
            address=temporal.address,
            namespace="default",
            runner=runner,
            concurrency=runner.room,
            drain=temporal.drain,
            task_queue=temporal.task_queue,
        )
        stop, working = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(worker.run(stop, announce=working.set))
        try:
            async with asyncio.timeout(SECONDS):
                await working.wait()
            yield
        finally:
            stop.set()
            await task
            await runner.aclose()
    finally:
        await engine.aclose()
