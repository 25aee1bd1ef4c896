"""What a server and a worker both stand on: the database, the log, the provider, the tools."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

from frontdesk.adapters.language_model.agent_runtimes import AgentRuntimes
from frontdesk.adapters.language_model.openai_http import OpenAIHttpLanguageModel
from frontdesk.adapters.language_model.relay import HttpModelRelay
from frontdesk.adapters.rate_limiter.in_process import InProcessRateLimiter
from frontdesk.adapters.thread_log.in_process import InProcessThreadLog
from frontdesk.adapters.thread_log.redis import RedisThreadLog
from frontdesk.agents.tools.catalogue import ToolCatalogue
from frontdesk.attachments.links import BlobLinks
from frontdesk.bootstrap.agents import agent_runtimes, tool_catalogue
from frontdesk.bootstrap.documents import documents
from frontdesk.bootstrap.embedding import OneEmbedder
from frontdesk.bootstrap.extras import extra
from frontdesk.bootstrap.storage import blob_links, blob_store
from frontdesk.conversation.model_list import ModelList
from frontdesk.database import Database, open_database
from frontdesk.database.schema import require_usable
from frontdesk.identity.message_limits import MessageLimits, parse_tiers
from frontdesk.kit.clock import Clock, SystemClock
from frontdesk.observability.measurements import Measurements
from frontdesk.ports.blob_store import BlobStore
from frontdesk.ports.model_relay import ModelRelay
from frontdesk.ports.rate_limiter import RateLimiter
from frontdesk.retrieval.sources.documents import Documents
from frontdesk.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where files lie, and what reads them."""

    links: BlobLinks
    blobs: BlobStore
    embedder: OneEmbedder
    documents: Documents


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a server and a worker both stand on."""

    settings: Settings
    clock: Clock
    measurements: Measurements
    database: Database
    log: InProcessThreadLog | RedisThreadLog
    models: ModelList
    relay: ModelRelay
    runtimes: AgentRuntimes
    tools: ToolCatalogue
    files: Files
    limiter: RateLimiter
    limits: MessageLimits


async def open_parts(stack: AsyncExitStack, settings: Settings) -> Parts:
    clock = SystemClock()
    database = open_database(
        settings.database_url, pool_size=settings.database_pool_size, timeout=settings.database_timeout_seconds
    )
    stack.push_async_callback(database.aclose)
    await database.read(require_usable)
    log = _thread_log(settings, clock)
    stack.push_async_callback(log.aclose)
    limiter = _rate_limiter(settings, clock)
    stack.push_async_callback(limiter.aclose)
    tools = tool_catalogue(settings)
    stack.push_async_callback(tools.aclose)
    await tools.open()
    model = _language_model(settings)
    stack.push_async_callback(model.aclose)
    models = ModelList(model, clock=clock, default_model=settings.llm_default_model)
    runtimes = agent_runtimes(settings, model, models, clock=clock)
    stack.push_async_callback(runtimes.aclose)
    files = _open_files(stack, settings, database, clock=clock)
    return Parts(
        settings=settings,
        clock=clock,
        measurements=Measurements(),
        database=database,
        log=log,
        models=models,
        relay=HttpModelRelay(model.client, timeout=settings.llm_proxy_timeout_seconds),
        runtimes=runtimes,
        tools=tools,
        files=files,
        limiter=limiter,
        limits=_message_limits(settings, limiter),
    )


def _open_files(stack: AsyncExitStack, settings: Settings, database: Database, *, clock: Clock) -> Files:
    links = blob_links(settings, clock)
    blobs = blob_store(settings, links)
    stack.push_async_callback(blobs.aclose)
    embedder = OneEmbedder(settings)
    stack.push_async_callback(embedder.aclose)
    read = documents(settings, database=database, blobs=blobs, embedder=embedder)
    stack.push_async_callback(read.aclose)
    return Files(links=links, blobs=blobs, embedder=embedder, documents=read)


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


def _message_limits(settings: Settings, limiter: RateLimiter) -> MessageLimits:
    return MessageLimits(
        limiter,
        parse_tiers(settings.tiers),
        default_tier=settings.default_tier,
        answer_tokens=settings.answer_tokens,
    )


def _language_model(settings: Settings) -> OpenAIHttpLanguageModel:
    return OpenAIHttpLanguageModel(
        base_url=settings.llm_base_url,
        api_key=None if settings.llm_api_key is None else settings.llm_api_key.get_secret_value(),
        timeout=settings.llm_timeout_seconds,
        connect_timeout=settings.llm_connect_timeout_seconds,
        max_retries=settings.llm_max_retries,
    )


def watch_process(
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
