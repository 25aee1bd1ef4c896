"""What a server needs, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.session_events import HttpBackEndEvents
from frontdesk.agents.service import AgentService
from frontdesk.attachments.links import BlobLinks
from frontdesk.attachments.service import AttachmentService
from frontdesk.attachments.sweeping import AttachmentSweeper
from frontdesk.bootstrap.execution import Engine, execution_engine
from frontdesk.bootstrap.extras import extra
from frontdesk.bootstrap.parts import Parts, open_parts, watch_process
from frontdesk.bootstrap.public_chat import public_chat
from frontdesk.bootstrap.search import open_search
from frontdesk.bootstrap.storage import blob_links, blob_store
from frontdesk.conversation.feed import Feed
from frontdesk.conversation.health import Health
from frontdesk.conversation.housekeeping import Chore, Housekeeping
from frontdesk.conversation.messages.service import MessageService
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.sessions.answers import AnswersSource
from frontdesk.conversation.sessions.feed import SessionFeed
from frontdesk.conversation.sessions.invoking import ToolInvoker
from frontdesk.conversation.sessions.reports import BackEndReports
from frontdesk.conversation.sessions.service import SessionService
from frontdesk.conversation.sessions.source import SessionSource
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.conversation.tool_calls.inputs import InputService
from frontdesk.http.event_stream import OpenStreams
from frontdesk.http.open_sockets import OpenSockets
from frontdesk.http.services import Services
from frontdesk.identity.limits import LoginThrottle, SessionThrottle
from frontdesk.identity.passwords import Passwords
from frontdesk.identity.standings import Standings
from frontdesk.identity.tickets import Tickets
from frontdesk.identity.tokens.service import TokenService
from frontdesk.identity.usage.ledger import UsageLedger
from frontdesk.identity.usage.service import UsageService
from frontdesk.identity.users.service import UserService
from frontdesk.kit.clock import Clock
from frontdesk.ports.blob_store import BlobStore
from frontdesk.ports.execution_engine import ExecutionEngine
from frontdesk.ports.rate_limiter import RateLimiter
from frontdesk.public_chat.services import PublicChat
from frontdesk.settings import Settings


@dataclass(frozen=True, kw_only=True)
class _Callers:
    limiter: RateLimiter
    standings: Standings
    users: UserService
    tokens: TokenService


@dataclass(frozen=True, kw_only=True)
class _Core:
    engine: Engine
    links: BlobLinks
    blobs: BlobStore
    attachments: AttachmentService
    conversation: ConversationService
    threads: ThreadService
    feed: Feed
    public_chat: PublicChat


@asynccontextmanager
async def running_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything that a server needs, opened and, in the reverse order, closed. Raises `ConfigurationError`."""
    async with AsyncExitStack() as stack:
        parts = await open_parts(stack, settings)
        clock, measurements, database, log = parts.clock, parts.measurements, parts.database, parts.log
        callers = _callers(stack, parts)
        core = await _core(stack, parts, callers)
        watch_process(measurements, database=database, log=log, running=lambda: core.engine.running)
        yield Services(
            settings=settings,
            clock=clock,
            users=callers.users,
            tokens=callers.tokens,
            threads=core.threads,
            messages=MessageService(database=database, clock=clock),
            conversation=core.conversation,
            inputs=InputService(database=database, engine=core.engine, tools=parts.tools, clock=clock),
            agents=_agents(parts),
            attachments=core.attachments,
            blobs=core.blobs,
            blob_links=core.links,
            feed=core.feed,
            search=open_search(stack, settings, database=database, clock=clock, measurements=measurements),
            sessions=SessionService(
                database=database, log=log, threads=core.threads, conversation=core.conversation, clock=clock
            ),
            session_throttle=SessionThrottle(callers.limiter, per_minute=settings.sessions_per_address),
            session_feed=_session_feed(stack, parts, core.feed),
            invoker=await _invoker(stack, parts),
            answers=AnswersSource(database=database, log=log, feed=core.feed),
            tickets=Tickets(
                database, clock, secret=settings.jwt_secret_key.get_secret_value(), standings=callers.standings
            ),
            public_chat=core.public_chat,
            streams=await _streams(stack, parts),
            sockets=await _sockets(stack, parts),
            measurements=measurements,
            models=parts.models,
            relay=parts.relay,
            usage=await _usage(stack, parts, callers.limiter),
            health=_server_health(parts, core.engine, callers.limiter, blobs=core.blobs),
            count_unfinished=core.conversation.count_unfinished,
        )


def _callers(stack: AsyncExitStack, parts: Parts) -> _Callers:
    settings, clock, database = parts.settings, parts.clock, parts.database
    limiter = _rate_limiter(settings, clock)
    stack.push_async_callback(limiter.aclose)
    standings = Standings(database, clock)
    passwords = Passwords()
    stack.callback(passwords.close)
    throttle = _throttle(settings, limiter)
    return _Callers(
        limiter=limiter,
        standings=standings,
        users=UserService(database, clock, passwords=passwords, throttle=throttle, standings=standings),
        tokens=TokenService(database, clock, settings=settings, standings=standings),
    )


async def _core(stack: AsyncExitStack, parts: Parts, callers: _Callers) -> _Core:
    settings, clock, database, log = parts.settings, parts.clock, parts.database, parts.log
    chores: list[Chore] = [callers.tokens.purge_expired]
    engine = execution_engine(parts, Housekeeping(database=database, clock=clock, chores=chores))
    await engine.open()
    stack.push_async_callback(engine.aclose)
    links = blob_links(settings, clock)
    blobs, attachments = await _files(stack, parts, links)
    conversation = ConversationService(
        database=database,
        log=log,
        engine=engine,
        attachments=attachments,
        clock=clock,
        llm_enabled=settings.llm_enabled,
    )
    threads = ThreadService(
        database=database,
        log=log,
        clock=clock,
        stop_answers=conversation.stop_all,
        erase_files=attachments.erase_deleted,
    )
    feed = Feed(database=database, log=log, clock=clock)
    chat = public_chat(parts, callers.limiter, conversation=conversation, threads=threads, answers=feed)
    chores.append(chat.removal.sweep)
    return _Core(
        engine=engine,
        links=links,
        blobs=blobs,
        attachments=attachments,
        conversation=conversation,
        threads=threads,
        feed=feed,
        public_chat=chat,
    )


def _agents(parts: Parts) -> AgentService:
    return AgentService(
        database=parts.database,
        clock=parts.clock,
        knows_tool=lambda name: parts.tools.find(name) is not None,
        runtimes=parts.runtimes.names,
    )


async def _streams(stack: AsyncExitStack, parts: Parts) -> OpenStreams:
    streams = OpenStreams(measurements=parts.measurements, patience=parts.settings.slow_reader_seconds)
    await streams.open()
    stack.push_async_callback(streams.aclose)
    return streams


def _session_feed(stack: AsyncExitStack, parts: Parts, answers: Feed) -> SessionFeed:
    events = HttpBackEndEvents(BackEnd(parts.settings.api_base_url))
    reports = BackEndReports(events, period=parts.settings.session_poll_seconds, clock=parts.clock)
    stack.push_async_callback(reports.aclose)
    return SessionFeed(SessionSource(database=parts.database, log=parts.log, answers=answers, reports=reports))


async def _sockets(stack: AsyncExitStack, parts: Parts) -> OpenSockets:
    settings = parts.settings
    sockets = OpenSockets(
        parts.database,
        measurements=parts.measurements,
        patience=settings.slow_reader_seconds,
        message_seconds=settings.body_timeout_seconds,
        per_caller=settings.gateway_sockets_per_caller,
    )
    await sockets.open()
    stack.push_async_callback(sockets.aclose)
    parts.measurements.watch("frontdesk_sockets_open", "WebSockets open now", lambda: len(sockets))
    return sockets


async def _files(stack: AsyncExitStack, parts: Parts, links: BlobLinks) -> tuple[BlobStore, AttachmentService]:
    blobs = blob_store(parts.settings, links)
    stack.push_async_callback(blobs.aclose)
    attachments = AttachmentService(
        database=parts.database, store=blobs, clock=parts.clock, at_once=parts.settings.uploads_at_once
    )
    sweeper = AttachmentSweeper(attachments)
    await sweeper.open()
    stack.push_async_callback(sweeper.aclose)
    return blobs, attachments


async def _invoker(stack: AsyncExitStack, parts: Parts) -> ToolInvoker:
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


async def _usage(stack: AsyncExitStack, parts: Parts, limiter: RateLimiter) -> UsageService:
    ledger = UsageLedger(parts.database)
    await ledger.open()
    stack.push_async_callback(ledger.aclose)
    return UsageService(
        ledger,
        limiter,
        parts.clock,
        requests_per_minute=parts.settings.llm_proxy_requests_per_minute,
        tokens_per_day=parts.settings.llm_proxy_tokens_per_day,
    )


def _throttle(settings: Settings, limiter: RateLimiter) -> LoginThrottle:
    return LoginThrottle(
        limiter,
        per_user=settings.login_attempts_per_user,
        per_address=settings.login_attempts_per_address,
        seconds=settings.login_window_seconds,
    )


def _rate_limiter(settings: Settings, clock: Clock) -> RateLimiter:
    if settings.redis_url is None:
        return InProcessRateLimiter(clock)
    with extra("redis", "CHAT_REDIS_URL"):
        from frontdesk.adapters.rate_limiter.redis import RedisRateLimiter  # noqa: PLC0415  an extra
    return RedisRateLimiter(settings.redis_url, clock)


def _server_health(parts: Parts, engine: ExecutionEngine, limiter: RateLimiter, *, blobs: BlobStore) -> Health:
    settings = parts.settings
    # Where others make the answers, messages are accepted and answers read without them and without a provider.
    makes_answers = settings.temporal_address is None
    checks = {
        "database": (parts.database.check, True),
        "log": (parts.log.check, settings.redis_url is None),  # a shared one may be away: answers go on
        "engine": (engine.check, makes_answers),
        "limiter": (limiter.check, False),
        "storage": (blobs.check, False),
        "provider": (parts.models.check, makes_answers and settings.llm_enabled),
    }
    return Health(checks, clock=parts.clock)
