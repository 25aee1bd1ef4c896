"""Everything that users do, one random act after another, each of which judges what it was answered."""

import asyncio
import random
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chaos.findings import Findings
from harness.server import PASSWORD, Server
from harness.threads_client import LOST, Reply, ThreadsClient
from harness.transcript import Transcript, follow, numbered, read, whole

ANSWER_SECONDS = 60.0
TOKENS = 60
THREADS_KEPT = 20
LEAVER = "leaver"
SETTINGS = {"login_attempts_per_address": 1_000_000_000, "login_attempts_per_user": 1_000}


@dataclass
class User:
    """`threads` are those that nobody works in now."""

    name: str
    client: ThreadsClient
    threads: deque[str] = field(default_factory=deque)


class Mix:
    """`idle` is how long a reader of an answer that says nothing stays, in seconds. `done` counts the acts."""

    def __init__(self, server: Server, users: list[User], findings: Findings, *, idle: float) -> None:
        self._server = server
        self._users = users
        self._findings = findings
        self._idle = idle
        self.done: Counter[str] = Counter()
        self._acts: dict[Callable[[User], Awaitable[None]], int] = {
            self.stream: 25,
            self.resume: 15,
            self.leave: 12,
            self.stop: 10,
            self.fail: 5,
            self.edit: 12,
            self.look: 12,
            self.wait_idle: 3,
            self.sign_in: 2,
            self.sign_out: 1,
            self.err: 3,
        }

    async def act(self) -> None:
        """Any one. What goes wrong in it is a fault, and ends nothing else."""
        act = random.choices(list(self._acts), list(self._acts.values()))[0]
        name = act.__name__
        try:
            await act(random.choice(self._users))
        except (AssertionError, ExceptionGroup, *LOST) as error:
            self._findings.faults.append(f"{name}: {error!r}")
        self.done[name] += 1

    async def stream(self, user: User) -> None:
        async with self._thread(user) as thread_id:
            seen = Transcript()
            body = {"model": _script(), "if_active": "queue"}
            async with asyncio.timeout(ANSWER_SECONDS), user.client.stream(thread_id, "Go on", **body) as stream:
                assert stream.status == 200, stream.status
                await read(stream, seen)
            self._judge(seen)

    async def resume(self, user: User) -> None:
        """Cut off twice at any byte, then to the end."""
        async with self._thread(user) as thread_id:
            execution_id = await user.client.begin(thread_id, _script())
            seen = Transcript()
            for _ in range(2):
                if seen.ended:
                    break
                async with user.client.join(thread_id, execution_id, after=seen.last_id) as stream:
                    await stream.read_bytes(random.randint(0, 8_000), seconds=ANSWER_SECONDS)
                    for event in stream.events:
                        seen.take(event)
            await follow(user.client, thread_id, execution_id, seen, seconds=ANSWER_SECONDS)
            self._judge(seen)

    async def leave(self, user: User) -> None:
        """For good; the answer is made all the same, and the next message waits for it."""
        async with self._thread(user) as thread_id:
            body = {"model": _script(), "if_active": "queue"}
            async with user.client.stream(thread_id, "Go on", **body) as stream:
                await stream.read_bytes(random.randint(0, 4_000), seconds=ANSWER_SECONDS)
                stream.cut()
            await user.client.send(thread_id, "And on", **body)

    async def stop(self, user: User) -> None:
        async with self._thread(user) as thread_id:
            execution_id = await user.client.begin(thread_id, "scripted?tokens=2000&pause_ms=20")
            await self._stop_reading(user, thread_id, execution_id, patience=1.0)

    async def fail(self, user: User) -> None:
        async with self._thread(user) as thread_id:
            fault = random.choice(("error_at=20", "reset_at=20", "close_at=20", "status=400"))
            execution_id = await user.client.begin(thread_id, f"{_script()}&{fault}")
            seen = await whole(user.client, thread_id, execution_id, seconds=ANSWER_SECONDS)
            assert seen.state == "failed", (fault, seen.states[-3:])

    async def edit(self, user: User) -> None:
        client = user.client
        async with self._thread(user) as thread_id:
            sent = await client.send(thread_id, "Frist", model="scripted?tokens=2")
            assert sent.status == 201, sent
            await whole(client, thread_id, sent.body["execution_id"], seconds=ANSWER_SECONDS)
            message = f"/threads/{thread_id}/messages/{sent.body['id']}"
            _require(await client.ask("PATCH", message, {"text": "First"}), 200)
            _require(await client.ask("PATCH", f"/threads/{thread_id}", {"title": secrets.token_hex(8)}), 200)
            _require(await client.ask("POST", f"{message}/feedback", {"kind": "positive"}), 201)
            assert (await client.find_message(thread_id, sent.body["execution_id"], role="user"))["text"] == "First"

    async def look(self, user: User) -> None:
        async with self._thread(user) as thread_id:
            for path in ("/threads", f"/threads/{thread_id}", f"/threads/{thread_id}/messages", "/auth/me"):
                _require(await user.client.ask("GET", path), 200)
            _require(await user.client.ask("GET", f"/threads/{thread_id}/export"), 200)

    async def wait_idle(self, user: User) -> None:
        """Reads an answer that says nothing until it is stopped."""
        async with self._thread(user) as thread_id:
            execution_id = await user.client.begin(thread_id, "scripted?tokens=5&stall_at=3")
            await self._stop_reading(user, thread_id, execution_id, patience=self._idle)

    async def _stop_reading(self, user: User, thread_id: str, execution_id: str, *, patience: float) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(whole(user.client, thread_id, execution_id, seconds=ANSWER_SECONDS))
            await asyncio.sleep(random.uniform(0.0, patience))
            _require(await user.client.cancel(thread_id, execution_id), 202)
        seen = await reading
        assert seen.state == "interrupted", seen.states[-3:]

    async def sign_in(self, user: User) -> None:
        held = _require(
            await user.client.ask("POST", "/auth/login", {"username": user.name, "password": PASSWORD}), 200
        )
        for _ in range(2):
            asked = await user.client.ask("POST", "/auth/refresh", {"refresh_token": held["refresh_token"]})
            held = _require(asked, 200)

    async def sign_out(self, _user: User) -> None:
        """Someone who does nothing else, for it ends every login of theirs."""
        anybody = ThreadsClient(self._server.session, self._server.url, token=None, user_id="")
        held = await anybody.ask("POST", "/auth/login", {"username": LEAVER, "password": PASSWORD})
        anybody.headers = {"Authorization": f"Bearer {_require(held, 200)['access_token']}"}
        left = await anybody.ask("POST", "/auth/logout")
        assert left.status in {204, 401}, left  # another of theirs may have been first

    async def err(self, user: User) -> None:
        wrong = {"username": f"nobody-{secrets.token_hex(4)}", "password": "wrong"}
        _require(await user.client.ask("POST", "/auth/login", wrong), 401)
        _require(await user.client.ask("GET", f"/threads/{user.client.user_id}"), 404)
        _require(await user.client.ask("POST", "/threads", {"title": 7}), 422)

    @asynccontextmanager
    async def _thread(self, user: User) -> AsyncIterator[str]:
        """One that nobody else works in. Some are thrown away afterwards, and all but a few of them for ever."""
        thread_id = user.threads.popleft() if len(user.threads) > THREADS_KEPT / 2 else await user.client.new_thread()
        yield thread_id
        user.threads.append(thread_id)
        if len(user.threads) > THREADS_KEPT or random.random() < 0.1:
            purge = "" if random.random() < 0.05 else "?purge=true"
            _require(await user.client.ask("DELETE", f"/threads/{user.threads.popleft()}{purge}"), 204)

    def _judge(self, seen: Transcript) -> None:
        self._findings.faults += seen.faults
        assert seen.state == "completed", (seen.states[-3:], seen.error)
        assert seen.text == numbered(TOKENS), seen.text[-40:]


async def sign_up(server: Server, count: int) -> list[User]:
    await server.user(LEAVER)
    names = [f"user-{number}" for number in range(count)]
    return [User(name, await server.user(name)) for name in names]


def _script() -> str:
    return f"scripted?tokens={TOKENS}&pause_ms=10"


def _require(reply: Reply, status: int) -> dict[str, str]:
    assert reply.status == status, reply
    found: dict[str, str] = reply.body
    return found
