"""Puts the program together: which adapter stands behind which port is decided here and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from frontdesk.adapters.execution_engine.local import LocalExecutionEngine
from frontdesk.adapters.execution_engine.runner import ExecutionRunner
from frontdesk.adapters.language_model.agent_runtimes import AgentRuntimes
from frontdesk.adapters.language_model.openai_http import OpenAIHttpLanguageModel
from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
from frontdesk.adapters.thread_log.redis import RedisThreadLog
from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.session_events import HttpBackEndEvents
from frontdesk.agents.service import AgentService
from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.bootstrap_agents import agent_runtimes, extra, tool_catalogue
from frontdesk.bootstrap_search import open_search
from frontdesk.conversation.asking import Asking
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.executions.stopping import Stopper
from frontdesk.conversation.feed import Feed
from frontdesk.conversation.health import Health
from frontdesk.conversation.housekeeping import Housekeeping
from frontdesk.conversation.messages.service import MessageService
from frontdesk.conversation.model_list import ModelList
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.sessions.feed import SessionFeed
from frontdesk.conversation.sessions.invoking import ToolInvoker
from frontdesk.conversation.sessions.reports import BackEndReports
from frontdesk.conversation.sessions.service import SessionService
from frontdesk.conversation.sessions.source import SessionSource
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.conversation.tool_calls.inputs import InputService
from frontdesk.conversation.tool_calls.making import ToolCaller
from frontdesk.conversation.turn import Turn
from frontdesk.database import Database, open_database
from frontdesk.database.schema import require_usable
from frontdesk.errors import ConfigurationError
from frontdesk.http.event_stream import OpenStreams
from frontdesk.http.services import Operations, Services
from frontdesk.identity.limits import LoginThrottle
from frontdesk.identity.passwords import Passwords
from frontdesk.identity.standings import Standings
from frontdesk.identity.tokens.service import TokenService
from frontdesk.identity.users.service import UserService
from frontdesk.kit.clock import Clock, SystemClock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.execution_engine import ExecutionEngine
from frontdesk.ports.language_model import LanguageModel
from frontdesk.ports.rate_limiter import RateLimiter
from frontdesk.settings import Settings


class Engine(ExecutionEngine, Protocol):
    """An engine as the program that owns it sees it. `running` counts what runs in this process."""

    @property
    def running(self) -> int: ...

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


class Worker(Protocol):
    async def check(self) -> None:
        """Raises `UnavailableError` when it takes no executions."""
        ...

    async def run(self, stop: asyncio.Event, *, announce: Callable[[], None]) -> None:
        """Run executions until `stop`, then let go of them."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What a server and a worker both stand on."""

    settings: Settings
    clock: Clock
    measurements: Measurements
    database: Database
    log: InProcessThreadLog | RedisThreadLog
    models: ModelList
    runtimes: AgentRuntimes
    tools: ToolCatalogue


@asynccontextmanager
async def running_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything that a server needs, opened and, in the reverse order, closed. Raises `ConfigurationError`."""
    async with AsyncExitStack() as stack:
        parts = await _open_parts(stack, settings)
        clock, measurements, database, log = parts.clock, parts.measurements, parts.database, parts.log
        limiter = _rate_limiter(settings, clock)
        stack.push_async_callback(limiter.aclose)
        standings = Standings(database, clock)
        passwords = Passwords()
        stack.callback(passwords.close)
        users = UserService(
            database, clock, passwords=passwords, throttle=_throttle(settings, limiter), standings=standings
        )
        tokens = TokenService(database, clock, settings=settings, standings=standings)
        engine = _engine(parts, Housekeeping(database=database, clock=clock, chores=[tokens.purge_expired]))
        await engine.open()
        stack.push_async_callback(engine.aclose)
        streams = OpenStreams(measurements=measurements, patience=settings.slow_reader_seconds)
        await streams.open()
        stack.push_async_callback(streams.aclose)
        conversation = ConversationService(
            database=database, log=log, engine=engine, clock=clock, llm_enabled=settings.llm_enabled
        )
        _watch(measurements, database=database, log=log, running=lambda: engine.running)
        threads = ThreadService(database=database, log=log, clock=clock, stop_answers=conversation.stop_all)
        feed = Feed(database=database, log=log, clock=clock)
        yield Services(
            settings=settings,
            clock=clock,
            users=users,
            tokens=tokens,
            threads=threads,
            messages=MessageService(database=database, clock=clock),
            conversation=conversation,
            inputs=InputService(database=database, engine=engine, tools=parts.tools, clock=clock),
            agents=AgentService(
                database=database,
                clock=clock,
                knows_tool=lambda name: parts.tools.find(name) is not None,
                runtimes=parts.runtimes.names,
            ),
            feed=feed,
            search=open_search(stack, settings, database=database, clock=clock, measurements=measurements),
            sessions=SessionService(
                database=database, log=log, threads=threads, conversation=conversation, clock=clock
            ),
            session_feed=_session_feed(stack, parts, feed),
            invoker=await _invoker(stack, parts),
            streams=streams,
            measurements=measurements,
            models=parts.models,
            health=_server_health(parts, engine, limiter),
            count_unfinished=conversation.count_unfinished,
        )


@asynccontextmanager
async def running_worker(settings: Settings, *, shares_log: bool = True) -> AsyncIterator[tuple[Worker, Operations]]:
    """What runs executions for servers elsewhere, and what operators see of it, opened and closed. Raises
    `ConfigurationError`.

    Without `shares_log` it may run on a log of its own: streams elsewhere then show nothing of its answers.
    """
    address = settings.temporal_address
    if address is None:
        raise ConfigurationError("A worker needs Temporal: set CHAT_TEMPORAL_ADDRESS")
    if shares_log and settings.redis_url is None:
        raise ConfigurationError("A worker needs the log that its readers follow: set CHAT_REDIS_URL")
    with extra("temporal", "CHAT_TEMPORAL_ADDRESS"):
        from frontdesk.adapters.execution_engine.temporal_worker import TemporalWorker  # noqa: PLC0415  an extra
    async with AsyncExitStack() as stack:
        parts = await _open_parts(stack, settings)
        # Temporal knows within seconds that a worker is dead, and its lease is then not renewed any more.
        runner = _runner(parts, patience=settings.engine_tick_seconds * 2)
        await runner.open()
        stack.push_async_callback(runner.aclose)
        _watch(parts.measurements, database=parts.database, log=parts.log, running=lambda: runner.running)
        worker = TemporalWorker(
            address=address,
            namespace=settings.temporal_namespace,
            runner=runner,
            concurrency=settings.engine_concurrency,
            drain=settings.drain_seconds,
        )
        operations = Operations(
            settings=settings,
            clock=parts.clock,
            measurements=parts.measurements,
            health=_worker_health(parts, worker),
            count_unfinished=lambda: parts.database.read(executions.count_unfinished),
        )
        yield worker, operations


async def _open_parts(stack: AsyncExitStack, settings: Settings) -> _Parts:
    clock = SystemClock()
    database = open_database(
        settings.database_url, pool_size=settings.database_pool_size, timeout=settings.database_timeout_seconds
    )
    stack.push_async_callback(database.aclose)
    await database.read(require_usable)
    log = _thread_log(settings, clock)
    stack.push_async_callback(log.aclose)
    tools = tool_catalogue(settings)
    stack.push_async_callback(tools.aclose)
    await tools.open()
    model = _language_model(settings)
    stack.push_async_callback(model.aclose)
    models = ModelList(model, clock=clock, default_model=settings.llm_default_model)
    runtimes = agent_runtimes(settings, model, models, clock=clock)
    stack.push_async_callback(runtimes.aclose)
    return _Parts(
        settings=settings,
        clock=clock,
        measurements=Measurements(),
        database=database,
        log=log,
        models=models,
        runtimes=runtimes,
        tools=tools,
    )


def _session_feed(stack: AsyncExitStack, parts: _Parts, answers: Feed) -> SessionFeed:
    events = HttpBackEndEvents(BackEnd(parts.settings.api_base_url))
    reports = BackEndReports(events, period=parts.settings.session_poll_seconds, clock=parts.clock)
    stack.push_async_callback(reports.aclose)
    return SessionFeed(SessionSource(database=parts.database, log=parts.log, answers=answers, reports=reports))


async def _invoker(stack: AsyncExitStack, parts: _Parts) -> ToolInvoker:
    invoker = ToolInvoker(
        database=parts.database,
        log=parts.log,
        tools=parts.tools,
        clock=parts.clock,
        measurements=parts.measurements,
        max_bytes=parts.settings.tool_max_response_bytes,
    )
    await invoker.open()
    stack.push_async_callback(invoker.aclose)
    return invoker


def _engine(parts: _Parts, housekeeping: Housekeeping) -> Engine:
    settings = parts.settings
    if settings.temporal_address is None:
        return LocalExecutionEngine(
            database=parts.database,
            runner=_runner(parts),
            housekeeping=housekeeping,
            clock=parts.clock,
            tick=settings.engine_tick_seconds,
        )
    with extra("temporal", "CHAT_TEMPORAL_ADDRESS"):
        from frontdesk.adapters.execution_engine.temporal import TemporalExecutionEngine  # noqa: PLC0415  an extra
        from frontdesk.adapters.execution_engine.temporal_calls import TemporalCalls  # noqa: PLC0415  an extra
    return TemporalExecutionEngine(
        calls=TemporalCalls(
            address=settings.temporal_address, namespace=settings.temporal_namespace, clock=parts.clock
        ),
        namespace=settings.temporal_namespace,
        database=parts.database,
        housekeeping=housekeeping,
        clock=parts.clock,
        tick=settings.engine_tick_seconds,
    )


def _runner(parts: _Parts, *, patience: float | None = None) -> ExecutionRunner:
    settings = parts.settings
    caller = ToolCaller(
        database=parts.database,
        log=parts.log,
        tools=parts.tools,
        clock=parts.clock,
        measurements=parts.measurements,
    )
    asking = Asking(
        log=parts.log,
        model_of=parts.runtimes.model_of,
        models=parts.models,
        caller=caller,
        clock=parts.clock,
        measurements=parts.measurements,
    )
    turn = Turn(
        database=parts.database,
        log=parts.log,
        asking=asking,
        caller=caller,
        clock=parts.clock,
        measurements=parts.measurements,
        heartbeat=settings.heartbeat_seconds,
        max_attempts=settings.engine_max_attempts,
    )
    return ExecutionRunner(
        database=parts.database,
        turn=turn,
        stopper=Stopper(database=parts.database, log=parts.log, clock=parts.clock),
        clock=parts.clock,
        concurrency=settings.engine_concurrency,
        lease=settings.execution_lease_seconds,
        tick=settings.engine_tick_seconds,
        context_messages=settings.llm_context_messages,
        patience=patience,
    )


def _throttle(settings: Settings, limiter: RateLimiter) -> LoginThrottle:
    return LoginThrottle(
        limiter,
        per_user=settings.login_attempts_per_user,
        per_address=settings.login_attempts_per_address,
        seconds=settings.login_window_seconds,
    )


def _thread_log(settings: Settings, clock: Clock) -> InProcessThreadLog | RedisThreadLog:
    if settings.redis_url is None:
        return InProcessThreadLog(
            clock=clock,
            retention=settings.log_retention_seconds,
            retained_bytes=settings.log_retained_bytes,
            thread_bytes=settings.log_thread_bytes,
        )
    with extra("redis", "CHAT_REDIS_URL"):
        return RedisThreadLog(
            settings.redis_url,
            clock=clock,
            retention=settings.log_retention_seconds,
            retained_bytes=settings.log_retained_bytes,
            thread_bytes=settings.log_thread_bytes,
            runs_answers=settings.temporal_address is None,
        )


def _rate_limiter(settings: Settings, clock: Clock) -> RateLimiter:
    if settings.redis_url is None:
        return InProcessRateLimiter(clock)
    with extra("redis", "CHAT_REDIS_URL"):
        from frontdesk.adapters.rate_limiter.redis import RedisRateLimiter  # noqa: PLC0415  an extra
    return RedisRateLimiter(settings.redis_url, clock)


def _language_model(settings: Settings) -> LanguageModel:
    return OpenAIHttpLanguageModel(
        base_url=settings.llm_base_url,
        api_key=None if settings.llm_api_key is None else settings.llm_api_key.get_secret_value(),
        timeout=settings.llm_timeout_seconds,
        connect_timeout=settings.llm_connect_timeout_seconds,
        max_retries=settings.llm_max_retries,
    )


def _server_health(parts: _Parts, engine: ExecutionEngine, limiter: RateLimiter) -> Health:
    settings = parts.settings
    # Where others make the answers, messages are accepted and answers read without them and without a provider.
    makes_answers = settings.temporal_address is None
    checks = {
        "database": (parts.database.check, True),
        "log": (parts.log.check, settings.redis_url is None),  # a shared one may be away: answers go on
        "engine": (engine.check, makes_answers),
        "limiter": (limiter.check, False),
        "provider": (parts.models.check, makes_answers and settings.llm_enabled),
    }
    return Health(checks, clock=parts.clock)


def _worker_health(parts: _Parts, worker: Worker) -> Health:
    checks = {
        "database": (parts.database.check, True),
        "log": (parts.log.check, False),
        "engine": (worker.check, True),
        "provider": (parts.models.check, parts.settings.llm_enabled),
    }
    return Health(checks, clock=parts.clock)


def _watch(
    measurements: Measurements,
    *,
    database: Database,
    log: InProcessThreadLog | RedisThreadLog,
    running: Callable[[], int],
) -> None:
    watch = measurements.watch
    watch("frontdesk_tasks", "Tasks of the event loop", lambda: len(asyncio.all_tasks()))
    watch("frontdesk_executions_running", "Executions that run in this process", running)
    watch("frontdesk_log_lag_events", "Events that the slowest reader has not taken", lambda: log.lag)
    watch("frontdesk_log_bytes", "Bytes that the log holds", lambda: log.held_bytes)
    watch("frontdesk_database_connections_in_use", "Connections in use", lambda: database.connections_in_use)
    if isinstance(log, RedisThreadLog):
        total = measurements.watch_total
        total("frontdesk_log_flushes_total", "Batches that the shared log has taken", lambda: log.flushes)
        total("frontdesk_log_sent_events_total", "Events that the shared log has taken", lambda: log.sent_events)
