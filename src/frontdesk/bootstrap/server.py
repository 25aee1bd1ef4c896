"""What a server needs, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from frontdesk.adapters.tool_source.back_end import BackEnd
from frontdesk.adapters.tool_source.session_events import HttpBackEndEvents
from frontdesk.adapters.transcriber.openai_http import OpenAIHttpTranscriber
from frontdesk.agents.service import AgentService
from frontdesk.attachments.service import AttachmentService
from frontdesk.attachments.sweeping import AttachmentSweeper
from frontdesk.bootstrap.execution import Engine, execution_engine
from frontdesk.bootstrap.identity import Identity, open_identity
from frontdesk.bootstrap.parts import Parts, open_parts, watch_process
from frontdesk.bootstrap.public_chat import public_chat
from frontdesk.bootstrap.search import open_search
from frontdesk.conversation.feed import Feed
from frontdesk.conversation.health import Health
from frontdesk.conversation.history import History
from frontdesk.conversation.housekeeping import Chore, Housekeeping
from frontdesk.conversation.messages.service import MessageService
from frontdesk.conversation.service import ConversationService
from frontdesk.conversation.sessions.answers import AnswersSource
from frontdesk.conversation.sessions.feed import SessionFeed
from frontdesk.conversation.sessions.invoking import ToolInvoker
from frontdesk.conversation.sessions.reports import BackEndReports
from frontdesk.conversation.sessions.service import SessionService
from frontdesk.conversation.sessions.source import SessionSource
from frontdesk.conversation.sharing.service import SharingService
from frontdesk.conversation.threads.service import ThreadService
from frontdesk.conversation.tool_calls.inputs import InputService
from frontdesk.http.built_files import BuiltFiles
from frontdesk.http.event_stream import OpenStreams
from frontdesk.http.open_sockets import OpenSockets
from frontdesk.http.revocations import Revocations
from frontdesk.http.services import Services
from frontdesk.ports.blob_store import BlobStore
from frontdesk.ports.execution_engine import ExecutionEngine
from frontdesk.ports.transcriber import Transcriber
from frontdesk.public_chat.services import PublicChat
from frontdesk.retrieval.service import SearchService
from frontdesk.settings import Settings


@dataclass(frozen=True, kw_only=True)
class _Core:
    engine: Engine
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
        identity = await open_identity(stack, parts)
        core = await _core(stack, parts, identity)
        revocations = await _revocations(stack, parts, identity)
        watch_process(measurements, database=database, log=log, running=lambda: core.engine.running)
        yield Services(
            settings=settings,
            clock=clock,
            users=identity.users,
            administration=identity.administration,
            tokens=identity.tokens,
            tickets=identity.tickets,
            client_secrets=identity.secrets,
            external=identity.external,
            threads=core.threads,
            sharing=SharingService(database=database, clock=clock),
            messages=MessageService(database=database, clock=clock),
            conversation=core.conversation,
            inputs=InputService(database=database, engine=core.engine, tools=parts.tools, clock=clock),
            agents=_agents(parts),
            attachments=core.attachments,
            blobs=parts.files.blobs,
            blob_links=parts.files.links,
            feed=core.feed,
            search=_search(stack, parts),
            sessions=SessionService(
                database=database, log=log, threads=core.threads, conversation=core.conversation, clock=clock
            ),
            session_throttle=identity.session_throttle,
            session_feed=_session_feed(stack, parts, core.feed),
            invoker=await _invoker(stack, parts),
            answers=AnswersSource(database=database, log=log, feed=core.feed),
            public_chat=core.public_chat,
            revocations=revocations,
            streams=await _streams(stack, parts, revocations),
            sockets=await _sockets(stack, parts, revocations),
            measurements=measurements,
            models=parts.models,
            relay=parts.relay,
            usage=identity.usage,
            usage_reports=identity.usage_reports,
            history=History(database),
            transcriber=_transcriber(stack, settings),
            built=BuiltFiles.read(),
            health=_server_health(parts, core.engine, blobs=parts.files.blobs),
            count_unfinished=core.conversation.count_unfinished,
        )


async def _core(stack: AsyncExitStack, parts: Parts, identity: Identity) -> _Core:
    settings, clock, database, log = parts.settings, parts.clock, parts.database, parts.log
    chores: list[Chore] = [identity.tokens.purge_expired, identity.secrets.purge_expired]
    engine = execution_engine(parts, Housekeeping(database=database, clock=clock, chores=chores))
    await engine.open()
    stack.push_async_callback(engine.aclose)
    attachments = await _attachments(stack, parts)
    conversation = ConversationService(
        database=database,
        log=log,
        engine=engine,
        attachments=attachments,
        clock=clock,
        limits=parts.limits,
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
    chat = public_chat(parts, conversation=conversation, threads=threads, attachments=attachments, answers=feed)
    chores.append(chat.removal.sweep)
    return _Core(
        engine=engine,
        attachments=attachments,
        conversation=conversation,
        threads=threads,
        feed=feed,
        public_chat=chat,
    )


def _search(stack: AsyncExitStack, parts: Parts) -> SearchService:
    return open_search(
        stack,
        parts.settings,
        database=parts.database,
        embedder=parts.files.embedder,
        clock=parts.clock,
        measurements=parts.measurements,
    )


def _transcriber(stack: AsyncExitStack, settings: Settings) -> Transcriber | None:
    if settings.transcription_model is None:
        return None
    transcriber = OpenAIHttpTranscriber(
        settings.llm_base_url,
        model=settings.transcription_model,
        api_key=None if settings.llm_api_key is None else settings.llm_api_key.get_secret_value(),
        timeout=settings.llm_timeout_seconds,
    )
    stack.push_async_callback(transcriber.aclose)
    return transcriber


def _agents(parts: Parts) -> AgentService:
    return AgentService(
        database=parts.database,
        clock=parts.clock,
        knows_tool=lambda name: parts.tools.find(name) is not None,
        list_tools=parts.tools.list,
        runtimes=parts.runtimes.names,
    )


async def _revocations(stack: AsyncExitStack, parts: Parts, identity: Identity) -> Revocations:
    revocations = Revocations(parts.database, identity.standings, parts.clock)
    await revocations.open()
    stack.push_async_callback(revocations.aclose)
    return revocations


async def _streams(stack: AsyncExitStack, parts: Parts, revocations: Revocations) -> OpenStreams:
    streams = OpenStreams(revocations, measurements=parts.measurements, patience=parts.settings.slow_reader_seconds)
    await streams.open()
    stack.push_async_callback(streams.aclose)
    return streams


def _session_feed(stack: AsyncExitStack, parts: Parts, answers: Feed) -> SessionFeed:
    events = HttpBackEndEvents(BackEnd(parts.settings.api_base_url))
    reports = BackEndReports(events, period=parts.settings.session_poll_seconds, clock=parts.clock)
    stack.push_async_callback(reports.aclose)
    return SessionFeed(SessionSource(database=parts.database, log=parts.log, answers=answers, reports=reports))


async def _sockets(stack: AsyncExitStack, parts: Parts, revocations: Revocations) -> OpenSockets:
    settings = parts.settings
    sockets = OpenSockets(
        parts.database,
        revocations,
        measurements=parts.measurements,
        patience=settings.slow_reader_seconds,
        message_seconds=settings.body_timeout_seconds,
        per_caller=settings.gateway_sockets_per_caller,
    )
    await sockets.open()
    stack.push_async_callback(sockets.aclose)
    parts.measurements.watch("frontdesk_sockets_open", "WebSockets open now", lambda: len(sockets))
    return sockets


async def _attachments(stack: AsyncExitStack, parts: Parts) -> AttachmentService:
    attachments = AttachmentService(
        database=parts.database, store=parts.files.blobs, clock=parts.clock, at_once=parts.settings.uploads_at_once
    )
    sweeper = AttachmentSweeper(attachments)
    await sweeper.open()
    stack.push_async_callback(sweeper.aclose)
    return attachments


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


def _server_health(parts: Parts, engine: ExecutionEngine, *, blobs: BlobStore) -> Health:
    settings = parts.settings
    # Where others make the answers, messages are accepted and answers read without them and without a provider.
    makes_answers = settings.temporal_address is None
    checks = {
        "database": (parts.database.check, True),
        "log": (parts.log.check, settings.redis_url is None),  # a shared one may be away: answers go on
        "engine": (engine.check, makes_answers),
        "limiter": (parts.limiter.check, False),
        "storage": (blobs.check, False),
        "provider": (parts.models.check, makes_answers and settings.llm_enabled),
    }
    return Health(checks, clock=parts.clock)
