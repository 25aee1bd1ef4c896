"""The served program past one process: with FRONTDESK_TESTS_SCALED the harness's servers have the shared parts behind
them, so that the same tests run in each way.

`local` gives each a Redis, `temporal` also a Temporal and a worker that makes the answers.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.parts.redis import RedisServer
from deploy.parts.temporal import TemporalServer
from harness.ports import lasting_port
from harness.worker import await_worker, worker_process

VARIABLE = "FRONTDESK_TESTS_SCALED"
REDIS_PORTS = range(21100, 21200)
TEMPORAL_PORTS = range(22200, 22400)


@dataclass
class Behind:
    """`settings` are those with which a server reaches the parts, `workers` where those answer operators."""

    settings: dict[str, object] = field(default_factory=dict)
    workers: list[str] = field(default_factory=list)


@asynccontextmanager
async def parts_behind(
    directory: Path, *, database_url: str, model_url: str, settings: dict[str, object]
) -> AsyncIterator[Behind]:
    """The parts, which end after the server. None without the variable, or where the test has chosen its own."""
    engine = os.environ.get(VARIABLE)
    if engine is None or "redis_url" in settings or "temporal_address" in settings:
        yield Behind()
        return
    assert engine in {"local", "temporal"}, f"{VARIABLE} is neither local nor temporal"
    async with AsyncExitStack() as stack:
        redis = RedisServer(directory, lasting_port(REDIS_PORTS))
        stack.callback(redis.stop)
        await asyncio.to_thread(redis.start)
        behind = Behind({"redis_url": redis.url})
        if engine == "temporal":
            temporal = TemporalServer(directory, lasting_port(TEMPORAL_PORTS))
            stack.callback(temporal.stop)
            await asyncio.to_thread(temporal.start)
            behind.settings["temporal_address"] = temporal.address
            urls = {"database_url": database_url, "model_url": model_url, "temporal": temporal.address}
            worker = worker_process(directory, **urls, **settings | {"redis_url": redis.url})
            # In a thread: what it sends at its end may be for this very loop.
            stack.push_async_callback(asyncio.to_thread, worker.stop, seconds=60)
            worker.start()
            behind.workers.append(await asyncio.to_thread(await_worker, worker))
        yield behind
