"""What a worker needs, put together."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from frontdesk.bootstrap.execution import execution_runner
from frontdesk.bootstrap.extras import extra
from frontdesk.bootstrap.parts import Parts, open_parts, watch_process
from frontdesk.conversation.executions import repository as executions
from frontdesk.conversation.health import Health
from frontdesk.errors import ConfigurationError
from frontdesk.http.services import Operations
from frontdesk.settings import Settings


class Worker(Protocol):
    async def check(self) -> None:
        """Raises `UnavailableError` when it takes no executions."""
        ...

    async def run(self, stop: asyncio.Event, *, announce: Callable[[], None]) -> None:
        """Run executions until `stop`, then let go of them."""
        ...


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
        parts = await open_parts(stack, settings)
        # Temporal knows within seconds that a worker is dead, and its lease is then not renewed any more.
        runner = execution_runner(parts, patience=settings.engine_tick_seconds * 2)
        await runner.open()
        stack.push_async_callback(runner.aclose)
        watch_process(parts.measurements, database=parts.database, log=parts.log, running=lambda: runner.running)
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


def _worker_health(parts: Parts, worker: Worker) -> Health:
    checks = {
        "database": (parts.database.check, True),
        "log": (parts.log.check, False),
        "engine": (worker.check, True),
        "provider": (parts.models.check, parts.settings.llm_enabled),
    }
    return Health(checks, clock=parts.clock)
