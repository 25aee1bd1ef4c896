"""All parts of a scaled installation on this machine: which there are, in which order they start and end."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Literal

from deploy.parts.gateway import Replica, Role, Worker
from deploy.parts.nginx import AVOIDED_SECONDS, Nginx
from deploy.parts.postgres import PostgresServer
from deploy.parts.redis import RedisServer
from deploy.parts.temporal import TemporalServer
from frontdesk.settings import Settings

Engine = Literal["local", "temporal"]
MOST_OF_A_KIND = 20
# Above the address that is for everybody: the replicas' ports, then these, then the workers'.
_REDIS_OFFSET, _TEMPORAL_OFFSET = MOST_OF_A_KIND + 1, MOST_OF_A_KIND + 2
PORTS = _TEMPORAL_OFFSET + MOST_OF_A_KIND
_DATABASE = "frontdesk"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`port` is nginx's; the `PORTS` above it are the parts'. `workers` count with the engine temporal."""

    folder: Path
    port: int
    engine: Engine
    replicas: int
    workers: int


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Where the state is; `settings` say so to our own programs."""

    settings: Settings
    postgres: PostgresServer
    redis: RedisServer
    temporal: TemporalServer | None

    def check(self) -> None:
        """Raises `PartFailedError` when one has ended by itself."""
        self.postgres.check()
        self.redis.program.check()
        if self.temporal is not None:
            self.temporal.program.check()


@dataclass(frozen=True, kw_only=True)
class Front:
    """Our own programs, and nginx before them."""

    nginx: Nginx
    replicas: list[Replica]
    workers: list[Worker]

    def check(self) -> None:
        """Raises `PartFailedError` when one has ended by itself."""
        for program in (self.nginx.program, *(role.program for role in (*self.workers, *self.replicas))):
            program.check()

    def roll(self, say: Callable[[str], None]) -> None:
        """Restart every process of ours, one after the other, each once the one before is ready again."""
        for role in (*self.workers, *self.replicas):
            role.restart()
            say(f"{role.name} was restarted")
            sleep(AVOIDED_SECONDS + 1)  # nginx, which counts whole ones, gives it requests again


@contextmanager
def running_stores(plan: Plan, settings: Settings) -> Iterator[Stores]:
    """PostgreSQL, Redis and, for its engine, Temporal; ended in the reverse order."""
    with ExitStack() as stack:
        postgres = PostgresServer(plan.folder / "postgres").start()
        stack.callback(postgres.stop)
        redis = RedisServer(plan.folder, plan.port + _REDIS_OFFSET, apart=True).start()
        stack.callback(redis.stop)
        temporal = None
        if plan.engine == "temporal":
            temporal = TemporalServer(plan.folder, plan.port + _TEMPORAL_OFFSET, apart=True).start()
            stack.callback(temporal.stop)
        changes = {
            "database_url": postgres.ensure_database(_DATABASE),
            "redis_url": redis.url,
            "temporal_address": None if temporal is None else temporal.address,
            "trusted_proxies": "127.0.0.1",
        }
        yield Stores(settings=settings.model_copy(update=changes), postgres=postgres, redis=redis, temporal=temporal)


@contextmanager
def running_front(plan: Plan, settings: Settings) -> Iterator[Front]:
    """Replicas behind nginx, and workers, all ready. At the end nginx goes last: through it readers are sent away."""
    folder = plan.folder
    replicas = [
        Replica(number, plan.port + number, folder=folder, settings=settings) for number in range(1, plan.replicas + 1)
    ]
    wanted = plan.workers if plan.engine == "temporal" else 0
    first = plan.port + _TEMPORAL_OFFSET
    workers = [Worker(number, first + number, folder=folder, settings=settings) for number in range(1, wanted + 1)]
    addresses = [replica.address for replica in replicas]
    with ExitStack() as stack:
        nginx = Nginx(
            plan.folder, plan.port, replicas=addresses, max_body_bytes=settings.max_body_bytes, apart=True
        ).start()
        stack.callback(nginx.stop)
        for together in (workers, replicas):
            stack.callback(_all, Role.stop, together)
            _all(Role.start, together)
        yield Front(nginx=nginx, replicas=replicas, workers=workers)


def _all(act: Callable[[Role], object], roles: list[Replica] | list[Worker]) -> None:
    """At the same time; the first failure is raised when all are through."""
    with ThreadPoolExecutor(max_workers=MOST_OF_A_KIND) as pool:
        for done in [pool.submit(act, role) for role in roles]:
            done.result()
