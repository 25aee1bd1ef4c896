"""Frontdesk past one process: the parts that replicas share, and several replicas as one contender.

All of it runs where the one is that starts it.
"""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.client import Connection, Recorder, ask_all
from benchmarks.contenders import Provider
from benchmarks.frontdesk_server import Frontdesk
from benchmarks.machine import cpu_seconds
from benchmarks.programs import HOST, Program, free_port, python
from deploy.parts.postgres import PostgresServer
from deploy.parts.redis import RedisServer
from frontdesk.database.migrations import upgrade

SENT_AT_ONCE = 8


@dataclass(frozen=True)
class Redis:
    url: str
    pid: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


@contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    folder.mkdir()
    server = RedisServer(folder, free_port()).start()
    try:
        yield Redis(server.url, server.program.pid)
    finally:
        server.stop()


class Postgres:
    """A server, and a migrated database for whoever asks for one."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    async def database(self, name: str) -> str:
        """Its address."""
        url = self._server.ensure_database(name)
        await asyncio.to_thread(upgrade, url)
        return url


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    server = PostgresServer(folder).start()
    try:
        yield Postgres(server)
    finally:
        server.stop()


class Replicas(Frontdesk):
    """`count` servers over one database, asked in turns."""

    has_core = False

    def __init__(self, folder: Path, *, name: str, count: int, **settings: str) -> None:
        super().__init__(folder, name=name, **settings)
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
            self._programs.append(Program(command, core=None, log=log, extra=self.environment(provider)))
            await self._programs[-1].listening(port)

    def cpu_seconds(self) -> float:
        return super().cpu_seconds() + sum(cpu_seconds(program.pid) for program in self._programs)

    def stop(self) -> None:
        super().stop()
        for program in self._programs:
            program.stop()


class ReadElsewhere(Replicas):
    """Each answer is begun at one replica and followed at the next."""

    def __init__(self, folder: Path, *, name: str, count: int, **settings: str) -> None:
        super().__init__(folder, name=name, count=count, **settings)
        self._sending = asyncio.Semaphore(SENT_AT_ONCE)

    def stream_request(self, thread: str, model: str) -> bytes:
        body = {"text": "How long is the coast?", "model": model}
        return self.request("POST", f"/api/threads/{thread}/messages", body)

    async def open_stream(self, number: int, request: bytes, recorder: Recorder) -> Connection:
        here, there = (self.ports[(number + step) % len(self.ports)] for step in (0, 1))
        async with self._sending:
            (sent,) = await ask_all(here, [request], concurrency=1)
        message = json.loads(sent.body)
        path = f"/api/threads/{message['thread_id']}/executions/{message['execution_id']}/stream"
        connection = await Connection.open(there, recorder)
        connection.begin(self.request("GET", path))
        return connection
