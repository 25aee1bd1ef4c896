"""Replicas of the program over one PostgreSQL and one Redis, with a network on every hop that can be made bad."""

import asyncio
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from chaos.footing import Footing
from deploy.parts.redis import RedisServer
from harness.fault_proxy import FaultProxy, Faults
from harness.ports import lasting_port
from harness.postgres import ListeningPostgres
from harness.server import Server
from harness.sse_client import SseStream
from harness.threads_client import LOST, Reply, ThreadsClient

# Below the range from which the kernel takes the ports of outgoing connections.
REPLICA_PORTS = range(24000, 24080)
POSTGRES_PORTS = range(24080, 24120)
REDIS_PORTS = range(24120, 24160)
HOPS = ("clients", "provider", "redis", "postgres")
PROBE_SECONDS = 0.05


@dataclass
class Replica:
    """`hops` are its own: to it from its clients, and from it to the provider, Redis and PostgreSQL."""

    server: Server
    hops: dict[str, FaultProxy]


@dataclass
class Asked:
    """One request: when it left, in the loop's time, and what came; `status` is 0 when nothing did."""

    method: str
    begun: float
    seconds: float
    status: int
    retry_after: str | None


class RoamingClient(ThreadsClient):
    """A user whose requests go to any replica, and whose readers come back to another one than they were cut off from.

    `asked` has every request but streams.
    """

    def __init__(self, at: Sequence[ThreadsClient], asked: list[Asked]) -> None:
        self.at = at
        self.asked = asked
        self.user_id = at[0].user_id
        self.headers = at[0].headers
        self._read_at: dict[str, int] = {}

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, seconds: float = 30
    ) -> Reply:
        begun = asyncio.get_running_loop().time()
        status, retry_after = 0, None
        try:
            reply = await random.choice(self.at).ask(method, path, body, key=key, seconds=seconds)
            status, retry_after = reply.status, reply.headers.get("Retry-After")
        finally:
            took = asyncio.get_running_loop().time() - begun
            self.asked.append(Asked(method, begun, took, status, retry_after))
        return reply

    def join(
        self,
        thread_id: str,
        execution_id: str,
        *,
        after: str | None = None,
        receive_buffer: int | None = None,
        through: int | None = None,
    ) -> AbstractAsyncContextManager[SseStream]:
        before = self._read_at.get(execution_id, random.randrange(len(self.at)))
        self._read_at[execution_id] = place = (before + 1) % len(self.at)
        return self.at[place].join(thread_id, execution_id, after=after, receive_buffer=receive_buffer, through=through)

    def stream(
        self, thread_id: str, text: str, *, key: str | None = None, **body: Any
    ) -> AbstractAsyncContextManager[SseStream]:
        return random.choice(self.at).stream(thread_id, text, key=key, **body)


@dataclass
class Topology:
    """`runners` are the processes that run answers, and are killed: with the local engine the replicas themselves."""

    replicas: list[Replica]
    redis: RedisServer
    postgres: ListeningPostgres
    footing: Footing
    folder: Path
    runners: list[Server] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    @property
    def servers(self) -> list[Server]:
        return [replica.server for replica in self.replicas]

    async def user(self, name: str) -> RoamingClient:
        """Signed in once; every replica takes the token. It reaches them over their bad networks."""
        first = await self.servers[0].user(name)
        at = []
        for replica in self.replicas:
            url = f"http://127.0.0.1:{replica.hops['clients'].port}"
            client = ThreadsClient(replica.server.session, url, token=None, user_id=first.user_id)
            client.headers = first.headers
            at.append(client)
        return RoamingClient(at, self.asked)

    def straight(self, client: RoamingClient) -> list[ThreadsClient]:
        """The same user at each replica, with nothing in between."""
        found = []
        for replica in self.replicas:
            found.append(ThreadsClient(replica.server.session, replica.server.url, token=None, user_id=client.user_id))
            found[-1].headers = client.headers
        return found

    async def kill_and_restart(self) -> None:
        """`kill -9` of any one runner, then a new process at once."""
        await random.choice(self.runners).kill_and_restart()

    def switch(self, hop: str, faults: Faults, *, replicas: Sequence[Replica] | None = None) -> None:
        for replica in self.replicas if replicas is None else replicas:
            replica.hops[hop].switch(faults)

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
        return sum(server.log.stat().st_size for server in self.servers)

    @property
    def resident_bytes(self) -> int:
        """Of the largest replica."""
        return max(server.resident_bytes for server in self.servers)

    @property
    def cpu_seconds(self) -> float:
        return sum(server.cpu_seconds for server in self.servers)

    async def requests(self) -> float:
        return sum([await server.total("frontdesk_requests_total") for server in self.servers])


async def _is_ready(server: Server) -> bool:
    try:
        async with server.session.get(f"{server.url}/health/ready") as response:
            return response.status == 200
    except LOST:
        return False


@asynccontextmanager
async def scaled(*, model_url: str, directory: Path, replicas: int = 2, **settings: object) -> AsyncIterator[Topology]:
    """Replicas with the local engine. Everything is killed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = await asyncio.to_thread(ListeningPostgres, folder, ports=POSTGRES_PORTS)
        stack.callback(postgres.aclose)
        redis = RedisServer(directory, lasting_port(REDIS_PORTS))
        redis.start()
        stack.callback(redis.stop)
        homes = [Path(tempfile.mkdtemp(prefix="replica", dir=directory)) for _ in range(replicas)]
        made = [
            await _replica(stack, postgres, redis, model_url=model_url, directory=home, settings=settings)
            for home in homes
        ]
        await asyncio.gather(*(replica.server.start() for replica in made))
        runners = [replica.server for replica in made]
        yield Topology(made, redis, postgres, Footing(postgres.url), directory, runners)


async def _replica(
    stack: AsyncExitStack,
    postgres: ListeningPostgres,
    redis: RedisServer,
    *,
    model_url: str,
    directory: Path,
    settings: dict[str, object],
) -> Replica:
    provider = urlsplit(model_url)
    targets = {"provider": provider.port or 80, "redis": redis.port, "postgres": postgres.port}
    hops = {hop: await stack.enter_async_context(FaultProxy("127.0.0.1", port)) for hop, port in targets.items()}
    server = Server(
        database_url=postgres.url_through(hops["postgres"].port),
        model_url=f"http://127.0.0.1:{hops['provider'].port}{provider.path}",
        directory=directory,
        settings={"redis_url": f"redis://127.0.0.1:{hops['redis'].port}/0", **settings},
        ports=REPLICA_PORTS,
    )
    stack.push_async_callback(server.aclose)
    hops["clients"] = await stack.enter_async_context(FaultProxy("127.0.0.1", server.port))
    return Replica(server, hops)
