"""Replicas of the program over one PostgreSQL and one Redis, with a network on every hop that can be made bad.

With workers these make the answers, over a Temporal.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from chaos.footing import Footing
from chaos.roaming import Asked, RoamingClient
from deploy.parts.redis import RedisServer
from deploy.parts.temporal import TemporalServer
from harness.fault_proxy import FaultProxy, Faults
from harness.ports import lasting_port
from harness.postgres import ListeningPostgres
from harness.processes import Process, ProcessFailedError
from harness.server import Server
from harness.threads_client import LOST, ThreadsClient
from harness.worker import Worker, worker_process

# Below the range from which the kernel takes the ports of outgoing connections.
REPLICA_PORTS = range(24000, 24080)
POSTGRES_PORTS = range(24080, 24120)
REDIS_PORTS = range(24120, 24160)
TEMPORAL_PORTS = range(24200, 24240)
PROBE_SECONDS = 0.05


@dataclass
class Replica:
    """`hops` are its own: to it from its clients, and from it to the provider, Redis, PostgreSQL and Temporal."""

    server: Server
    hops: dict[str, FaultProxy]


@dataclass
class HiredWorker:
    """`hops` are its own, as a replica's; it has no clients."""

    worker: Worker
    hops: dict[str, FaultProxy]


@dataclass
class Topology:
    """`runners` are the processes that answers need, and are killed: the replicas and, over Temporal, the workers."""

    replicas: list[Replica]
    workers: list[HiredWorker]
    redis: RedisServer
    postgres: ListeningPostgres
    temporal: TemporalServer | None
    footing: Footing
    folder: Path
    asked: list[Asked] = field(default_factory=list)
    _doomed: list[Server | Worker] = field(default_factory=list)

    @property
    def servers(self) -> list[Server]:
        return [replica.server for replica in self.replicas]

    @property
    def runners(self) -> list[Server | Worker]:
        return [*self.servers, *(hired.worker for hired in self.workers)]

    @property
    def processes(self) -> list[Process]:
        return [runner.process for runner in self.runners]

    @property
    def ended(self) -> list[str]:
        """What was told of each process that has ended by itself."""
        found = []
        for process in self.processes:
            try:
                process.check()
            except ProcessFailedError as error:
                found.append(str(error))
        return found

    @property
    def hops(self) -> list[str]:
        return list(self.replicas[0].hops)

    def having(self, hop: str) -> list[Replica | HiredWorker]:
        """Who has this hop."""
        return [node for node in (*self.replicas, *self.workers) if hop in node.hops]

    async def user(self, name: str) -> RoamingClient:
        """Signed in once; every replica takes the token. It reaches them over their bad networks."""
        urls = [f"http://127.0.0.1:{replica.hops['clients'].port}" for replica in self.replicas]
        return RoamingClient(await self.servers[0].user(name), urls, self.asked)

    def straight(self, client: ThreadsClient) -> list[ThreadsClient]:
        """The same user at each replica, with nothing in between."""
        return [client.at(server.url) for server in self.servers]

    async def kill_and_restart(self) -> None:
        """`kill -9` of any one runner, then a new process at once. Each has its turn before one has a second."""
        self._doomed = self._doomed or random.sample(self.runners, len(self.runners))
        await self._doomed.pop().kill_and_restart()

    def switch(self, hop: str, faults: Faults, *, nodes: Sequence[Replica | HiredWorker] | None = None) -> None:
        """At every process that has the hop, unless some are told."""
        for node in self.having(hop) if nodes is None else nodes:
            node.hops[hop].switch(faults)

    async def ready(self, *, seconds: float) -> float:
        """Seconds until every replica says that it is ready; `seconds` when one does not."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        waiting = self.servers
        while waiting and loop.time() - begun < seconds:
            waiting = [server for server in waiting if not await _is_ready(server)]
            if waiting:
                await asyncio.sleep(PROBE_SECONDS)
        return loop.time() - begun

    @property
    def log_bytes(self) -> int:
        return sum(process.log.stat().st_size for process in self.processes)

    @property
    def resident_bytes(self) -> int:
        """Of the largest process."""
        return max(process.resident_bytes for process in self.processes)

    @property
    def cpu_seconds(self) -> float:
        return sum(process.cpu_seconds for process in self.processes)

    async def requests(self) -> float:
        return sum([await server.total("frontdesk_requests_total") for server in self.servers])


async def _is_ready(server: Server) -> bool:
    try:
        async with server.session.get(f"{server.url}/health/ready") as response:
            return response.status == 200
    except LOST:
        return False


@asynccontextmanager
async def scaled(
    *, model_url: str, directory: Path, replicas: int = 2, workers: int = 0, **settings: object
) -> AsyncIterator[Topology]:
    """Replicas that make the answers themselves, unless there are workers. Everything is killed at the end."""
    async with AsyncExitStack() as stack:
        parts = await _parts(stack, model_url, directory, settings, over_temporal=workers > 0)
        hired = [await parts.hire(stack) for _ in range(workers)]
        made = [await parts.replica(stack) for _ in range(replicas)]
        topology = Topology(
            made, hired, parts.redis, parts.postgres, parts.temporal, Footing(parts.postgres.url), directory
        )
        await asyncio.gather(*(runner.start() for runner in topology.runners))
        yield topology


@dataclass
class _Parts:
    """What is shared, and how each process reaches it: through hops of its own."""

    directory: Path
    provider: str
    postgres: ListeningPostgres
    redis: RedisServer
    temporal: TemporalServer | None
    settings: dict[str, object]

    async def replica(self, stack: AsyncExitStack) -> Replica:
        hops = await self._hops(stack)
        directory = Path(tempfile.mkdtemp(prefix="replica", dir=self.directory))
        server = Server(**self._urls(hops), directory=directory, settings=self._reached(hops), ports=REPLICA_PORTS)
        stack.push_async_callback(server.aclose)
        return Replica(
            server, {"clients": await stack.enter_async_context(FaultProxy("127.0.0.1", server.port)), **hops}
        )

    async def hire(self, stack: AsyncExitStack) -> HiredWorker:
        hops = await self._hops(stack)
        directory = Path(tempfile.mkdtemp(prefix="worker", dir=self.directory))
        reached = self._reached(hops)
        temporal = str(reached.pop("temporal_address"))
        worker = Worker(worker_process(directory, **self._urls(hops), temporal=temporal, **reached))
        stack.callback(worker.close)
        return HiredWorker(worker, hops)

    async def _hops(self, stack: AsyncExitStack) -> dict[str, FaultProxy]:
        targets = {
            "provider": urlsplit(self.provider).port or 80,
            "redis": self.redis.port,
            "postgres": self.postgres.port,
        }
        if self.temporal is not None:
            targets["temporal"] = int(self.temporal.address.rpartition(":")[2])
        return {hop: await stack.enter_async_context(FaultProxy("127.0.0.1", port)) for hop, port in targets.items()}

    def _urls(self, hops: dict[str, FaultProxy]) -> dict[str, str]:
        path = urlsplit(self.provider).path
        return {
            "database_url": self.postgres.url_through(hops["postgres"].port),
            "model_url": f"http://127.0.0.1:{hops['provider'].port}{path}",
        }

    def _reached(self, hops: dict[str, FaultProxy]) -> dict[str, object]:
        reached = {"redis_url": f"redis://127.0.0.1:{hops['redis'].port}/0", **self.settings}
        if "temporal" in hops:
            reached["temporal_address"] = f"127.0.0.1:{hops['temporal'].port}"
        return reached


async def _parts(
    stack: AsyncExitStack, model_url: str, directory: Path, settings: dict[str, object], *, over_temporal: bool
) -> _Parts:
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    postgres = await asyncio.to_thread(ListeningPostgres, folder, ports=POSTGRES_PORTS)
    stack.callback(postgres.aclose)
    redis = RedisServer(directory, lasting_port(REDIS_PORTS))
    stack.callback(redis.stop)
    redis.start()
    temporal = None
    if over_temporal:
        temporal = TemporalServer(directory, lasting_port(TEMPORAL_PORTS))
        stack.callback(temporal.stop)
        await asyncio.to_thread(temporal.start)
    return _Parts(directory, model_url, postgres, redis, temporal, settings)
