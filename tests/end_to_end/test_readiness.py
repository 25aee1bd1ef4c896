"""What a replica and a worker tell load balancers and orchestrators of themselves, with real parts that go away."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy.parts.redis import RedisServer
from deploy.parts.temporal import TemporalServer
from harness.conversations import SECONDS, until
from harness.model_stub import ModelStub
from harness.ports import lasting_port
from harness.postgres import ListeningPostgres
from harness.processes import Process
from harness.server import Server, serve
from harness.threads_client import ThreadsClient
from harness.worker import await_worker, worker_process

POSTGRES_PORTS = range(23900, 23920)
TEMPORAL_PORTS = range(22400, 22500)
TOKEN = "for the operators only"


@dataclass
class Installation:
    """A replica, a worker, and what they stand on."""

    server: Server
    worker: Process
    worker_url: str
    postgres: ListeningPostgres
    user: ThreadsClient

    async def ask(self, url: str, path: str, **headers: str) -> tuple[int, Any]:
        async with self.server.session.get(url + path, headers=headers) as response:
            is_json = response.content_type.endswith("json")
            return response.status, await (response.json() if is_json else response.text())

    async def ready(self, url: str, holds: Callable[[int, set[str]], bool]) -> dict[str, Any]:
        """What readiness says, once it holds for its status and the parts that are down."""
        _, body = await until(lambda: self.ask(url, "/health/ready"), lambda found: holds(found[0], down_in(found[1])))
        return dict(body)

    async def assert_alive(self) -> None:
        for url in (self.server.url, self.worker_url):
            assert (await self.ask(url, "/health"))[0] == 200


def down_in(body: dict[str, Any]) -> set[str]:
    return {name for name, part in body["parts"].items() if part["status"] == "down"}


@pytest.fixture(scope="module")
async def made(
    running_temporal: TemporalServer,
    redis_process: RedisServer,
    model_stub: ModelStub,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Installation]:
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pg"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        postgres = await asyncio.to_thread(ListeningPostgres, folder, ports=POSTGRES_PORTS)
        stack.callback(postgres.aclose)
        shared = {"redis_url": redis_process.url, "database_timeout_seconds": 1, "metrics_token": TOKEN}
        urls = {"database_url": postgres.url, "model_url": model_stub.url}
        directory, address = tmp_path_factory.mktemp("readiness"), running_temporal.address
        server = await stack.enter_async_context(serve(directory=directory, temporal_address=address, **urls, **shared))
        worker = worker_process(directory, temporal=address, **urls, **shared)
        stack.push_async_callback(asyncio.to_thread, worker.stop, seconds=SECONDS)
        yield Installation(server, worker, "", postgres, await server.user("ada"))


@pytest.fixture
async def installation(made: Installation, temporal: TemporalServer, redis_server: RedisServer) -> Installation:
    """With all of its parts, whatever the test before did to them."""
    if not made.worker.started:
        made.worker.start()
        made.worker_url = await asyncio.to_thread(await_worker, made.worker)
    return made


@pytest.mark.parametrize("way", ["stop", "pause"])
async def test_without_temporal_a_replica_stays_in_rotation_and_a_worker_is_not_ready(
    installation: Installation, temporal: TemporalServer, way: str
) -> None:
    replica, worker, user = installation.server.url, installation.worker_url, installation.user
    for url in (replica, worker):
        body = await installation.ready(url, lambda status, down: (status, down) == (200, set()))
        assert body["status"] == "ok"
    (temporal.stop if way == "stop" else temporal.pause)()
    degraded = await installation.ready(replica, lambda _, down: "engine" in down)
    engine = degraded["parts"]["engine"]
    assert (degraded["status"], engine["needed"]) == ("degraded", False)
    if way == "pause":
        assert engine["detail"] == "no answer within 0.8 s", "no longer than a probe waits"
    refused = await installation.ready(worker, lambda status, _: status == 503)
    assert (refused["code"], down_in(refused)) == ("not_ready", {"engine"})
    await installation.assert_alive()
    thread_id = await user.new_thread()
    execution_id = await user.begin(thread_id, "scripted?tokens=5")
    await asyncio.to_thread(temporal.ensure)
    for url in (replica, worker):
        await installation.ready(url, lambda status, down: (status, down) == (200, set()))
    await until(
        lambda: user.find_message(thread_id, execution_id, role="assistant"),
        lambda found: found["status"] == "completed",
    )


async def test_without_a_worker_a_replica_says_so_and_stays_in_rotation(
    sqlite_url: str, model_stub: ModelStub, tmp_path: Path
) -> None:
    unattended = TemporalServer(tmp_path, lasting_port(TEMPORAL_PORTS))
    settings = {"temporal_address": unattended.address}
    async with AsyncExitStack() as stack:
        stack.callback(unattended.stop)
        await asyncio.to_thread(unattended.start)
        server = await stack.enter_async_context(
            serve(database_url=sqlite_url, model_url=model_stub.url, directory=tmp_path, **settings)
        )
        async with server.session.get(f"{server.url}/health/ready") as response:
            body = await response.json()
    assert (response.status, body["status"], down_in(body)) == (200, "degraded", {"engine"})
    assert "No worker takes executions" in body["parts"]["engine"]["detail"]


async def test_without_the_database_neither_is_ready(installation: Installation) -> None:
    urls = (installation.server.url, installation.worker_url)
    installation.postgres.stop_at_once()
    for url in urls:
        refused = await installation.ready(url, lambda status, _: status == 503)
        assert "database" in down_in(refused)
        assert "database" in refused["detail"]
    await installation.assert_alive()
    installation.postgres.start()
    for url in urls:
        await installation.ready(url, lambda status, down: (status, down) == (200, set()))


async def test_a_workers_measurements_are_for_operators(installation: Installation) -> None:
    worker, user = installation.worker_url, installation.user
    thread_id = await user.new_thread()
    async with user.stream(thread_id, "go", model="scripted?tokens=5") as stream:
        await stream.read_all(seconds=SECONDS)
    assert (await installation.ask(worker, "/metrics"))[0] == 401
    assert (await installation.ask(worker, "/metrics", Authorization="Bearer another"))[0] == 401
    status, measured = await installation.ask(worker, "/metrics", Authorization=f"Bearer {TOKEN}")
    assert status == 200
    assert '\nfrontdesk_executions_ended_total{state="completed"} ' in measured
    assert (await installation.ask(worker, "/api/threads"))[0] == 404
    assert (await installation.ask(worker, "/openapi.json"))[0] == 404


async def test_a_worker_that_drains_is_alive_and_not_ready(installation: Installation) -> None:
    user, worker = installation.user, installation.worker_url
    await user.begin(await user.new_thread(), "scripted?tokens=5&stall_at=3")
    await until(lambda: _running(installation), lambda running: running == 1)
    ending = asyncio.create_task(asyncio.to_thread(installation.worker.stop, seconds=SECONDS))
    refused = await installation.ready(worker, lambda status, _: status == 503)
    assert refused["parts"]["engine"]["detail"] == "The worker ends"
    assert (await installation.ask(worker, "/health"))[0] == 200
    assert await ending == 0
    with pytest.raises(aiohttp.ClientConnectionError):
        await installation.ask(worker, "/health")


async def _running(installation: Installation) -> float:
    _, text = await installation.ask(installation.worker_url, "/metrics", Authorization=f"Bearer {TOKEN}")
    (line,) = (line for line in text.splitlines() if line.startswith("frontdesk_executions_running "))
    return float(line.split()[1])
