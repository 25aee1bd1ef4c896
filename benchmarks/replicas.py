"""Frontdesk past one process: the parts that replicas share, and several replicas as one contender."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import Provider
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import cores, cpu_seconds
from benchmarks.programs import HOST, Program, free_port, python
from deploy.parts.postgres import PostgresServer
from deploy.parts.redis import RedisServer
from frontdesk.database.migrations import upgrade


@dataclass(frozen=True)
class Redis:
    url: str
    pid: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[Redis]:
    """A Redis on the load's core."""
    server = RedisServer(folder, free_port())
    try:
        await asyncio.to_thread(server.start)
        _put_on_core(server.program.pid, cores()[1])
        yield Redis(server.url, server.program.pid)
    finally:
        server.stop()


def _put_on_core(pid: int, core: int) -> None:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


@asynccontextmanager
async def postgres(folder: Path, name: str) -> AsyncIterator[str]:
    """The address of a migrated database in a PostgreSQL of its own, on any core."""
    server = PostgresServer(folder / f"postgres-{name}").start()
    try:
        url = server.ensure_database("frontdesk")
        await asyncio.to_thread(upgrade, url)
        yield url
    finally:
        server.stop()


class Replicas(Frontdesk):
    """`count` servers over one database and one Redis, asked in turns; each has a core in turns."""

    def __init__(self, folder: Path, *, count: int, **settings: str) -> None:
        super().__init__(folder, name=f"{count} replica{'s' * (count > 1)}", **settings)
        self._more = [free_port() for _ in range(count - 1)]
        self._programs: list[Program] = []

    @property
    def ports(self) -> list[int]:
        return [self.port, *self._more]

    async def start(self, provider: Provider) -> None:
        await super().start(provider)
        for number, port in enumerate(self._more, start=1):
            command = python("-m", "frontdesk", "serve", "--host", HOST, "--port", str(port))
            log = self.folder / f"replica-{number}.log"
            self._programs.append(Program(command, core=cores()[number % 2], log=log, extra=self.environment(provider)))
            await self._programs[-1].listening(port)

    def cpu_seconds(self) -> float:
        return super().cpu_seconds() + sum(cpu_seconds(program.pid) for program in self._programs)

    def stop(self) -> None:
        super().stop()
        for program in self._programs:
            program.stop()
