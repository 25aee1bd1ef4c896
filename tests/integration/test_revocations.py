"""What is open ends once its credential counts no more: on every surface, whoever revokes it and wherever."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from deploy.parts.redis import RedisServer
from frontdesk.database import open_database
from frontdesk.http.revocations import Revocations
from frontdesk.identity.holders import Holder
from frontdesk.identity.principal import Principal, PrincipalKind
from frontdesk.identity.standings import Standings
from frontdesk.identity.users.models import Role
from frontdesk.kit.clock import SystemClock
from frontdesk.settings import Settings
from harness.callers import Caller, founder, newcomer
from harness.chatkit_client import message
from harness.chatkit_server import NO_LIMITS
from harness.identities import open_identity, settings_for
from harness.model_stub import ModelStub
from harness.processes import Process
from harness.served import served
from harness.sessions import SessionCaller, write_tools
from harness.sockets import open_socket
from harness.sse_client import SseStream, open_sse
from harness.tool_sources import BackEndStub
from harness.visitors import Visitor, build

SECONDS = 5.0
LONG = "scripted?tokens=2000&pause_ms=50"
KEY = "the key of the gateway's own parts"
Opened = dict[str, SseStream]


def settings_of(url: str, model_stub: ModelStub, **changes: object) -> Settings:
    llm: dict[str, object] = {"llm_enabled": True, "llm_api_base": model_stub.url, "llm_default_model": LONG}
    return settings_for(url, **llm, **NO_LIMITS, drain_seconds=0.1, gateway__internal_api_key=KEY, **changes)


class Front:
    """A served program, and everything that somebody can have open there. `root` is where it is."""

    def __init__(self, client: Any, stack: AsyncExitStack) -> None:
        self.root = str(client.base_url).rstrip("/").removesuffix("/api")
        self._stack = stack

    async def open(self, path: str, headers: dict[str, str], body: Any = None, **options: Any) -> SseStream:
        """With its first bytes read."""
        content = {} if body is None else {"body": json.dumps(body).encode(), "method": "POST"}
        named = {**headers, "Content-Type": "application/json"}
        opening = open_sse(self.root + path, headers=named, **content, **options)
        stream = await self._stack.enter_async_context(opening)
        assert stream.status == 200, await stream.reader.read(500)
        await stream.read_bytes(1, seconds=10)
        return stream

    async def threads(self, caller: Caller, **fields: Any) -> Opened:
        thread = (await caller.made("POST", "/threads", json=fields))["id"]
        path = f"/api/threads/{thread}"
        sent = await self.open(f"{path}/messages/stream", caller.headers, {"text": "go"})
        (answer, _) = (await caller.made("GET", f"/threads/{thread}/messages"))["items"]
        joined = await self.open(f"{path}/executions/{answer['execution_id']}/stream", caller.headers)
        return {"an answer": sent, "an answer joined": joined}

    async def feed(self, caller: Caller) -> Opened:
        session = await SessionCaller(caller.client, self.root, caller.headers).session()
        return {"a feed": await self.open(f"/chat/sessions/{session}/events", caller.headers)}

    async def flood(self, caller: Caller) -> Opened:
        session = await SessionCaller(caller.client, self.root, caller.headers).session()
        return {"a tool": await self.flooded(caller, session)}

    async def flooded(self, caller: Caller, session: str) -> SseStream:
        headers = {**caller.headers, "X-Agent-Session-Id": session}
        body = {"arguments": {"number": 50_000_000}}
        return await self.open("/agent/tools/flood/invoke", headers, body, receive_buffer=4096)

    async def called(self, caller: Caller) -> None:
        """Once a call of a tool has ended at the server."""
        async with asyncio.timeout(20):
            while True:
                if "frontdesk_tool_calls_total{" in (await caller.client.get(f"{self.root}/metrics")).text:
                    return
                await asyncio.sleep(0.05)

    async def proxied(self, caller: Caller) -> Opened:
        asked = {"model": LONG, "messages": [{"role": "user", "content": "go"}], "stream": True}
        return {"a proxied answer": await self.open("/v1/chat/completions", caller.headers, asked)}

    async def widget(self, caller: Caller) -> Opened:
        secret = (await caller.made("POST", "/chatkit/session"))["client_secret"]
        headers = {"Authorization": f"Bearer {secret}"}
        create = {"type": "threads.create", "params": {"input": message("go")}}
        simple = {"message": {"role": "user", "content": "go"}}
        return {
            "the widget": await self.open("/chatkit", headers, create),
            "the widget's simple form": await self.open("/chatkit", headers, simple),
        }

    async def runtime(self) -> Opened:
        body = {"session_id": "elsewhere", "type": "user_message", "content": "go"}
        return {"the runtime": await self.open("/agent/message/stream", {"X-Internal-Auth": KEY}, body)}


@asynccontextmanager
async def front(settings: Settings) -> AsyncIterator[tuple[Front, Caller]]:
    async with served(settings) as client, AsyncExitStack() as stack:
        yield Front(client, stack), await founder(client)


async def assert_closed(opened: Opened, *, seconds: float = SECONDS) -> None:
    await asyncio.gather(*(_closed(name, stream, seconds) for name, stream in opened.items()))


async def _closed(name: str, stream: SseStream, seconds: float) -> None:
    try:
        await stream.read_all(seconds=seconds)
    except ConnectionError:
        return
    except TimeoutError:
        raise AssertionError(f"{name} goes on") from None
    assert "[DONE]" not in stream.data


async def assert_goes_on(opened: Opened) -> None:
    for name, stream in opened.items():
        count = len(stream.body)
        await stream.read_bytes(count + 1, seconds=10)
        assert not stream.ended, name


def suspended_elsewhere(settings: Settings, username: str, folder: Path) -> None:
    """By another process."""
    values = {"CHAT_DATABASE_URL": settings.database_url}
    with Process("frontdesk", "users", "suspend", username, log=folder / "users.log", environment=values) as process:
        assert process.wait(seconds=60) == 0


@pytest.fixture(params=["sqlite", "postgres, and Redis away"])
def place(
    request: pytest.FixtureRequest, model_stub: ModelStub, back_end_stub: BackEndStub, tmp_path: Path
) -> tuple[Settings, Callable[[], object]]:
    """Settings, and what to do when everything is open."""
    changes: dict[str, object] = {
        "api_base_url": back_end_stub.url,
        "tools_file": write_tools(tmp_path),
        "tool_max_response_bytes": 100_000_000,
        "session_poll_seconds": 30,
    }
    if request.param == "sqlite":
        return settings_of(request.getfixturevalue("sqlite_url"), model_stub, **changes), lambda: None
    redis: RedisServer = request.getfixturevalue("redis_server")
    url = request.getfixturevalue("postgres_url")
    return settings_of(url, model_stub, redis_url=redis.url, **changes), redis.stop


async def test_a_suspension_by_another_process_ends_everything(
    place: tuple[Settings, Callable[[], object]], tmp_path: Path
) -> None:
    settings, then = place
    async with front(settings) as (here, admin):
        eve = await newcomer(admin, "eve")
        ways = (here.threads, here.feed, here.flood, here.proxied, here.widget)
        opened = {name: stream for way in ways for name, stream in (await way(eve)).items()}
        others = {**await here.threads(admin), **await here.runtime()}
        async with open_socket(here.root, "s", headers=eve.headers) as socket:
            assert await socket.refusal("{") == "Invalid JSON message"
            then()
            await asyncio.to_thread(suspended_elsewhere, settings, "eve", tmp_path)
            closing = asyncio.create_task(socket.closed(seconds=SECONDS))
            await assert_closed(opened)
            assert (await closing)[0] == 4401
        await assert_goes_on(others)


async def test_who_reads_slowly_is_sent_no_more_once_it_is_revoked(
    sqlite_url: str, model_stub: ModelStub, back_end_stub: BackEndStub, tmp_path: Path
) -> None:
    more = {"tools_file": write_tools(tmp_path), "tool_max_response_bytes": 100_000_000}
    settings = settings_of(sqlite_url, model_stub, api_base_url=back_end_stub.url, **more)
    async with front(settings) as (here, admin), open_identity(settings) as identity:
        eve = await newcomer(admin, "eve")
        session = await SessionCaller(eve.client, here.root, eve.headers).session()
        stream = await here.flooded(eve, session)
        sent = [-1, 0]
        while sent[-1] != sent[-2]:  # until the back end can send no more: the server's machine holds megabytes
            await asyncio.sleep(0.2)
            sent.append((await back_end_stub.of_session(session))[0]["sent"])
        await identity.users.set_password((await eve.made("GET", "/auth/me"))["id"], "another horse battery")
        await here.called(eve)
        with pytest.raises(ConnectionResetError):
            await stream.read_all(seconds=SECONDS)
        assert len(stream.body) < 500_000


async def test_each_way_of_revoking_ends_what_is_open(sqlite_url: str, model_stub: ModelStub) -> None:
    settings = settings_of(sqlite_url, model_stub)
    async with front(settings) as (here, admin), served(settings) as elsewhere, open_identity(settings) as identity:
        callers = {name: await newcomer(admin, name, role="admin") for name in ("logout", "password", "role")}
        opened = {name: (await here.feed(caller))["a feed"] for name, caller in callers.items()}
        answer = await here.threads(callers["role"])
        headers = callers["logout"].headers
        assert (await elsewhere.post("/auth/logout", headers=headers)).status_code == 204
        await identity.users.set_password(callers["password"].id, "another horse battery")
        await identity.users.set_role(callers["role"].id, Role.user)
        await assert_closed(opened | answer)
        assert not any(b"retry:" in stream.body for stream in opened.values())


async def test_who_may_use_less_comes_again_and_is_refused(sqlite_url: str, model_stub: ModelStub) -> None:
    settings = settings_of(sqlite_url, model_stub)
    async with front(settings) as (here, admin), open_identity(settings) as identity:
        eve = await newcomer(admin, "eve", allowed_products=["p"])
        session = await SessionCaller(eve.client, here.root, eve.headers).session(metadata={"product_id": "p"})
        path = f"/chat/sessions/{session}/events"
        opened = {**await here.threads(eve, metadata={"product_id": "p"}), "feed": await here.open(path, eve.headers)}
        async with open_socket(here.root, session, headers=eve.headers) as socket:
            assert await socket.refusal("{") == "Invalid JSON message"
            await identity.users.set_tier(eve.id, None)
            await assert_goes_on({"an answer": opened["an answer"]})
            await identity.users.set_allow_lists(eve.id, products=(), agents=None)
            await assert_closed(opened)
            assert (await socket.closed(seconds=SECONDS))[0] == 1012
        assert all(b"retry:" in stream.body for stream in opened.values())
        async with open_sse(here.root + path, headers=eve.headers) as refused:
            assert refused.status == 403
        async with open_socket(here.root, session, headers=eve.headers) as socket:
            assert (await socket.closed())[0] == 4403


async def test_a_visit_that_is_over_ends_its_streams(database_url: str, model_stub: ModelStub) -> None:
    settings = settings_of(database_url, model_stub)
    async with (
        served(settings) as client,
        served(settings) as elsewhere,
        open_identity(settings) as identity,
        AsyncExitStack() as stack,
    ):
        admin = await founder(client)
        owners = {name: await newcomer(admin, name) for name in ("ended", "erased", "unpublished", "suspended")}
        chats = {name: await build(owner) for name, owner in owners.items()}
        visitors = {name: await chat.visitor() for name, chat in chats.items()}
        bystander = await chats["ended"].visitor()
        streams = {name: await _followed(stack, visitor) for name, visitor in visitors.items()}
        other = await _followed(stack, bystander)
        below = {name: chat.root.removeprefix(str(client.base_url).rstrip("/")) for name, chat in chats.items()}
        tokens = {name: visitor.token for name, visitor in visitors.items()}
        asked = [
            await elsewhere.post(f"{below['ended']}/sessions/{tokens['ended']}/end"),
            await elsewhere.delete(f"{below['erased']}/sessions/{tokens['erased']}"),
            await elsewhere.post(f"{chats['unpublished'].path}/unpublish", headers=owners["unpublished"].headers),
        ]
        assert [answer.is_success for answer in asked] == [True] * 3
        await identity.users.suspend(owners["suspended"].id)
        await assert_closed(streams)
        await bystander.say()
        await assert_goes_on({"another visit": other})


async def _followed(stack: AsyncExitStack, visitor: Visitor) -> SseStream:
    stream = await stack.enter_async_context(visitor.stream(follow=True))
    await stream.read_bytes(1, seconds=10)
    return stream


class Open:
    """Something that is open, as the round sees it."""

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.told: list[str] = []
        self.revoked = asyncio.Event()

    def revoke(self) -> None:
        self.told.append("revoked")
        self.revoked.set()

    def readmit(self, holder: Holder) -> None:
        self.holder = holder
        self.told.append("readmitted")


async def test_a_round_is_one_question_however_much_is_open(database_url: str) -> None:
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "AS held" in statement:
            asked.append(statement)

    settings = settings_for(database_url)
    async with open_identity(settings) as identity:
        users = [await identity.create_user(f"u{number}") for number in range(20)]
        held = [
            Open(Holder(Principal(kind=PrincipalKind.user, id=user.id), user.token_version))
            for user in users
            for _ in range(200)
        ]
        gone = Open(Holder(Principal(kind=PrincipalKind.user, id="nobody"), 1))
        expired = Open(Holder(held[-1].holder.principal, 1, expires_at=int(time.time())))
        database = open_database(settings.database_url, pool_size=1, timeout=5)
        clock = SystemClock()
        revocations = Revocations(database, Standings(database, clock), clock)
        event.listen(Engine, "before_cursor_execute", note)
        await revocations.open()
        try:
            for one in (*held, gone, expired):
                revocations.add(one)
            await asyncio.wait_for(gone.revoked.wait(), SECONDS)
            assert len(asked) == 1
            assert expired.told == ["revoked"]
            revocations.remove(gone)
            revocations.remove(expired)
            await identity.users.suspend(users[0].id)
            await asyncio.wait_for(held[0].revoked.wait(), SECONDS)
            rounds = len(asked)
            assert [one.told[-1] for one in held[:200]] == ["revoked"] * 200
            assert not any("revoked" in one.told for one in held[200:])
            for one in held:
                revocations.remove(one)
            await asyncio.sleep(1.2)  # a round in which nothing is open, and nothing must be asked
            assert len(asked) == rounds
        finally:
            event.remove(Engine, "before_cursor_execute", note)
            await revocations.aclose()
            await database.aclose()
