"""`make up-scaled` as a stranger has it: every part on this machine, reached through nginx only."""

import asyncio
import random
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from deploy.parts.program import Program
from deploy.topology import PORTS
from harness.command_line import Home, await_output, is_listening
from harness.model_stub import ModelStub
from harness.threads_client import Reply, ThreadsClient
from harness.transcript import Transcript, follow, numbered, read

ROOT = Path(__file__).parents[2]
# Below the range from which the kernel takes the ports of outgoing connections.
BASES = range(23200, 23800, PORTS + 1)
SECONDS = 60.0
READERS, ASKERS = 4, 2


def free_base() -> int:
    for base in random.sample(BASES, len(BASES)):
        if not any(is_listening(base + offset) for offset in range(PORTS + 1)):
            return base
    raise AssertionError("every port is taken")


@dataclass
class Scaled:
    process: Program
    folder: Path
    url: str
    user: ThreadsClient

    def replicas_that_served(self, request_id: str) -> list[str]:
        """Names of the replicas that have this request in their log."""
        logs = sorted(self.folder.glob("replica-*.log"))
        return [log.stem for log in logs if request_id in log.read_text()]


def launched(home: Home, *arguments: str) -> Program:
    path = f"{ROOT}:{home.environment['PYTHONPATH']}"
    return Program(
        *(sys.executable, "-m", "deploy.scaled", *arguments),
        log=home.folder / "scaled.log",
        environment={**home.environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        directory=home.folder,
    )


async def signed_in(session: aiohttp.ClientSession, url: str, password: str) -> ThreadsClient:
    anybody = ThreadsClient(session, url, token=None, user_id="")
    reply = await anybody.ask("POST", "/auth/login", {"username": "admin", "password": password})
    assert reply.status == 200, reply
    return ThreadsClient(session, url, token=reply.body["access_token"], user_id="")


@pytest.fixture(scope="module", params=["local", "temporal"])
async def scaled(request: pytest.FixtureRequest, model_stub: ModelStub) -> AsyncIterator[Scaled]:
    folder = Path(tempfile.mkdtemp(prefix="scaled"))  # PostgreSQL's own user must get there
    settings = {"CHAT_LLM_API_BASE": model_stub.url, "CHAT_DRAIN_SECONDS": "1", "CHAT_LOG_FORMAT": "json"}
    base = free_base()
    with launched(Home(folder, **settings), "--engine", request.param, "--port", str(base)) as process:
        await asyncio.to_thread(await_output, process, "kill -HUP", seconds=110)
        (password,) = re.findall(r"shown this once: (\S+)", process.output())
        url = f"http://127.0.0.1:{base}"
        async with aiohttp.ClientSession() as session:
            user = await signed_in(session, url, password)
            yield Scaled(process, folder / ".frontdesk-scaled", url, user)
        assert await asyncio.to_thread(process.stop, seconds=100) == 0
    assert not any(is_listening(base + offset) for offset in range(PORTS + 1)), "every part has ended"
    shutil.rmtree(folder)


async def test_an_answer_is_resumed_through_nginx_at_another_replica(scaled: Scaled) -> None:
    user = ThreadsClient(scaled.user._session, scaled.url, token=None, user_id="")
    thread_id = await scaled.user.new_thread()
    shown = Transcript()
    user.headers = scaled.user.headers | {"X-Request-ID": "first-half"}
    async with user.stream(thread_id, "go", model="scripted?tokens=60&pause_ms=30") as first:
        assert first.headers["content-type"].startswith("text/event-stream")
        async for event in first:
            shown.take(event)
            if "t9 " in shown.text:
                break
        assert "t30 " not in shown.text, "what came was not collected on its way"
        (answer, *_) = (await scaled.user.ask("GET", f"/threads/{thread_id}/messages")).body["items"]
        # The first stays open, so that the other replica is the one with the fewest connections.
        user.headers = scaled.user.headers | {"X-Request-ID": "second-half"}
        async with user.join(thread_id, answer["execution_id"], after=shown.last_id) as second:
            await asyncio.wait_for(read(second, shown), SECONDS)
    assert (shown.text, shown.restarts, shown.faults) == (numbered(60), 0, [])
    served = [scaled.replicas_that_served(name) for name in ("first-half", "second-half")]
    assert sorted(served) == [["replica-1"], ["replica-2"]]


async def test_what_nginx_keeps_from_the_replicas(scaled: Scaled) -> None:
    session = scaled.user._session
    async with session.get(f"{scaled.url}/metrics") as measurements:
        assert measurements.status == 404
    body = BytesIO(b" " * 1_048_577)
    async with session.post(f"{scaled.url}/api/auth/login", data=body) as too_large:
        assert (too_large.status, (await too_large.json())["code"]) == (413, "body_too_large")


@dataclass
class Load:
    """Readers and askers, while the processes behind nginx change. `faults` is what nobody may see."""

    user: ThreadsClient
    over: asyncio.Event
    faults: list[str] = field(default_factory=list)
    answers: int = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(READERS):
                group.create_task(self._read())
            for _ in range(ASKERS):
                group.create_task(self._ask())

    async def _read(self) -> None:
        while not self.over.is_set():
            tokens = random.choice((20, 60, 120))
            thread_id = (await self._insist("POST", "/threads", {})).body["id"]
            sent = await self._insist(
                "POST",
                f"/threads/{thread_id}/messages",
                {"text": "go", "model": f"scripted?tokens={tokens}&pause_ms=30"},
            )
            shown = Transcript()
            await follow(self.user, thread_id, sent.body["execution_id"], shown, seconds=SECONDS)
            whole = shown.text == numbered(tokens) and shown.state == "completed"
            self.faults += shown.faults if whole else [*shown.faults, f"{shown.states}: {shown.text!r}"]
            self.answers += 1

    async def _ask(self) -> None:
        while not self.over.is_set():
            await self._insist("GET", "/threads")
            await asyncio.sleep(0.02)

    async def _insist(self, method: str, path: str, body: object = None) -> Reply:
        """The answer, asked for again with the same key for as long as it says to come back."""
        key = f"key-{random.getrandbits(64)}"
        async with asyncio.timeout(SECONDS):
            while True:
                reply = await self.user.ask(method, path, body, key=key if method == "POST" else None)
                if reply.status < 500:
                    assert reply.status < 300, reply
                    return reply
                if reply.status != 503 or "Retry-After" not in reply.headers:
                    self.faults.append(f"{method} {path}: {reply}")
                await asyncio.sleep(0.1)


async def test_a_rolling_restart_loses_no_token_and_refuses_nobody(scaled: Scaled) -> None:
    load = Load(scaled.user, asyncio.Event())
    running = asyncio.create_task(load.run())
    seen = len(re.findall("was restarted", scaled.process.output()))
    scaled.process.send(signal.SIGHUP)
    try:
        await asyncio.to_thread(await_output, scaled.process, "Every process was restarted", seconds=110)
    finally:
        load.over.set()
        await running
    rolled = re.findall(r"^(\S+) was restarted", scaled.process.output(), re.MULTILINE)[seen:]
    assert rolled[-2:] == ["replica-1", "replica-2"]
    assert load.faults == []
    assert load.answers > READERS
